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

// shape: 'cloud' | 'open'.  fault: undefined | 'stall' | 'garbage' | 'status500' | 'refuse'
export async function startPlatform({ host = '127.0.0.1', token = 'platform-secret', agentUrl, shape = 'cloud' } = {}) {
  const requests = [];
  const platform = { requests, shape, fault: undefined, agentUrl, usage: undefined, polls: 0 };
  let sessions = 0;
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const json = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const billing = /^\/api\/v1\/user\/billing\/(usage|featuresactivequantity)$/.exec(request.url);
    if (billing && platform.usage) {
      platform.polls += 1;
      if (request.headers.authorization !== `Token ${token}`) return json(401, { success: false });
      const { max, current } = platform.usage;
      const data = billing[1] === 'usage' ? { currentUsage: { Call_Concurrency: current } } : { Call_Concurrency: max };
      return json(200, { success: true, data });
    }
    const match = /^\/api\/v1\/business\/([^/]+)\/websession\/initiate$/.exec(request.url);
    if (!match || request.method !== 'POST') return json(404, { success: false, message: 'no such endpoint' });
    if (platform.fault === 'stall') return undefined;
    if (platform.fault === 'garbage') return response.end('<html>');
    if (platform.fault === 'status500') return json(500, { success: false, message: 'inner text', code: 'X' });
    const body = JSON.parse(Buffer.concat(chunks).toString());
    requests.push({ businessId: match[1], headers: request.headers, body });
    const refused = platform.fault === 'refuse' ? [200, 'CONFIG_REGION_ID_NOT_FOUND'] : refusal(request, body, token);
    if (refused) return json(refused[0], { success: false, message: 'refused', code: refused[1], data: null });
    const id = `ses_sim_${process.pid}_${++sessions}`;
    const url = typeof platform.agentUrl === 'function' ? platform.agentUrl(id) : platform.agentUrl;
    const data =
      platform.shape === 'cloud'
        ? { webSessionId: `web_${sessions}`, conversationSessionId: id, sessionWebSocketURL: url }
        : { sessionId: id, sessionWebSocketURL: url };
    return json(200, { success: true, message: '', code: '', data });
  });
  server.listen(0, host);
  await once(server, 'listening');
  platform.baseUrl = `http://${host}:${server.address().port}/api/v1/`;
  platform.close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return platform;
}
