// SPDX-License-Identifier: Apache-2.0
// The Iqra platform's session door, as documented: POST {base}business/{id}/websession/initiate with
// `Authorization: Token ...` and PascalCase JSON. It refuses what the real one would refuse. With `usage` ({max,
// current}) it has the cloud's figures under user/billing/ too; without, it is self-hosted and has none.
import { once } from 'node:events';
import http from 'node:http';

const WANTED = ['TransportType', 'WebCampaignId', 'RegionId', 'ClientIdentifier', 'AudioInputConfiguration', 'AudioOutputConfiguration', 'DynamicVariables', 'Metadata'];

function refusal(request, body, token) {
  if (request.headers.authorization !== `Token ${token}`) return [401, 'UNAUTHORIZED'];
  for (const key of WANTED) if (!(key in body)) return [200, `MISSING_${key}`];
  if (/[/\\]/.test(body.ClientIdentifier)) return [200, 'CONFIG_CLIENT_IDENTIFIER_INVALID'];
  if (body.ClientIdentifier.length > 256) return [200, 'CONFIG_CLIENT_IDENTIFIER_TOO_LONG'];
  if (body.AudioOutputConfiguration.FrameDurationMs < 10) return [200, 'VALIDATION:INVALID_FRAME'];
  return undefined;
}

// shape: 'cloud' | 'open'.  fault: undefined | 'stall' | 'garbage' | 'status500' | 'refuse' | 'full'
// faultOf(body): the same for one request for a session, which it is told of.
// plan: undefined (no user/billing/*, as the self-hosted one) or { max, others, enforce }: how many calls it allows, how
// many of somebody else's run, and whether it refuses beyond that.
// refuseWith: a code that every session is refused with.  latencyMs: before each answer.
export async function startPlatform({ host = '127.0.0.1', token = 'platform-secret', agentUrl, shape = 'cloud', plan, latencyMs = 0 } = {}) {
  const requests = [];
  const live = new Map(); // session id -> what was asked for
  const platform = { requests, live, shape, fault: undefined, faultOf: undefined, agentUrl, plan, latencyMs, refuseWith: undefined, peak: 0, polls: 0 };
  let sessions = 0;

  const running = () => live.size + (platform.plan?.others ?? 0);
  const billing = (url) => {
    platform.polls++;
    if (url.endsWith('/usage')) return { currentUsage: { Call_Concurrency: running() } };
    return { Call_Concurrency: platform.plan.max };
  };
  const answer = (match, request, body, fault) => {
    requests.push({ businessId: match[1], headers: request.headers, body });
    const full = fault === 'full' || (platform.plan?.enforce && running() >= platform.plan.max);
    const refused =
      (fault === 'refuse' && [200, 'CONFIG_REGION_ID_NOT_FOUND']) ||
      (platform.refuseWith && [200, platform.refuseWith]) ||
      refusal(request, body, token) ||
      (full && [200, 'CONCURRENCY_LIMIT_REACHED']);
    if (refused) return [refused[0], { success: false, message: 'refused', code: refused[1], data: null }];
    const id = `ses_sim_${process.pid}_${++sessions}`;
    live.set(id, body);
    platform.peak = Math.max(platform.peak, running());
    const url = typeof platform.agentUrl === 'function' ? platform.agentUrl(id) : platform.agentUrl;
    const data =
      platform.shape === 'cloud'
        ? { webSessionId: `web_${sessions}`, conversationSessionId: id, sessionWebSocketURL: url }
        : { sessionId: id, sessionWebSocketURL: url };
    return [200, { success: true, message: '', code: '', data }];
  };

  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const json = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (platform.fault === 'stall') return undefined;
    if (platform.latencyMs) await new Promise((resolve) => setTimeout(resolve, platform.latencyMs));
    const isBilling = /^\/api\/v1\/user\/billing\/(usage|featuresactivequantity)$/.test(request.url);
    if (isBilling && platform.plan) return json(200, { success: true, message: '', code: '', data: billing(request.url) });
    const match = /^\/api\/v1\/business\/([^/]+)\/websession\/initiate$/.exec(request.url);
    if (!match || request.method !== 'POST') return json(404, { success: false, message: 'no such endpoint' });
    const body = JSON.parse(Buffer.concat(chunks).toString());
    const fault = platform.faultOf?.(body) ?? platform.fault;
    if (fault === 'stall') return undefined;
    if (fault === 'garbage') return response.end('<html>');
    if (fault === 'status500') return json(500, { success: false, message: 'inner text', code: 'X' });
    return json(...answer(match, request, body, fault));
  });
  server.listen(0, host);
  await once(server, 'listening');
  platform.baseUrl = `http://${host}:${server.address().port}/api/v1/`;
  // A conversation is over; the webhook, if it is told of one, may be told twice or never.
  platform.end = (id) => live.delete(id);
  platform.close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return platform;
}
