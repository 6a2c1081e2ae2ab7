// SPDX-License-Identifier: Apache-2.0
// What stands before a session: limits of an address, its reputation, the webhook that ends it, and whose address it
// is. Over the real doors, with a real Redis and stand-ins for the platform and ipapi.is.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startIpApi } from '../sim/ipapi.mjs';
import { until } from './lib/gateway.mjs';
import { HOST, startHouse } from './lib/scenario.mjs';

const TOKEN = 'the-webhook-token-of-the-test';

describe('limits', () => {
  let house;
  let gateway;
  let ipapi;
  let next = 1;
  const address = () => `203.0.113.${next++}`;

  // As a page behind the proxy that these tests are.
  const request = (from, body = {}) => gateway.request({ transportType: 0, ...body }, { 'x-forwarded-for': from });
  const webhook = (id, token = TOKEN) =>
    fetch(`${gateway.url}/api/webhook/session-ended`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { 'x-api-token': token }) },
      body: JSON.stringify({ ConversationSessionId: id }),
    });
  const lastSession = () => `ses_sim_${process.pid}_${house.platform.requests.length}`;

  async function expectRefused(response, status, message) {
    assert.equal(response.status, status);
    assert.deepEqual(await response.json(), { message });
  }

  async function expectAdmitted(response) {
    assert.equal(response.status, 200, await response.clone().text());
    assert.match((await response.json()).webSocketUrl, /^ws/);
    return lastSession();
  }

  before(async () => {
    ipapi = await startIpApi();
    house = await startHouse({
      config: {
        AllowedOrigins: ['https://shop.example'],
        ForwardedHeaders: { KnownNetworks: ['127.0.0.0/8', '10.77.0.0/24'] },
        IpApi: { ApiKey: 'ipapi-secret', BaseUrl: ipapi.baseUrl },
        Security: {
          RateLimitConcurrency: 2,
          RateLimitHourly: 4,
          RateLimitDaily: 100,
          EnableIpApiCheck: true,
          EnableIpApiCache: true,
          WebhookApiToken: TOKEN,
          BlockVpn: true,
          BlockProxy: true,
          BlockDatacenter: true,
          BlockAbuser: true,
        },
      },
    });
    gateway = house.gateway;
  });
  after(async () => {
    await house.stop();
    await ipapi.close();
    assert.ok(!gateway.text().includes('ipapi-secret'), 'the key of IpApi is in the log');
    assert.ok(!gateway.text().includes(TOKEN), 'the webhook token is in the log');
  });
  beforeEach(() => {
    ipapi.fault = undefined;
    house.platform.fault = undefined;
  });

  test('sessions at once, and the webhook that ends one', async () => {
    const from = address();
    const first = await expectAdmitted(await request(from));
    await expectAdmitted(await request(from));
    const refused = await request(from);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    await expectRefused(refused, 429, 'Too many concurrent sessions from your IP.');
    const other = await expectAdmitted(await request(address()));

    assert.equal((await webhook(first)).status, 200);
    await until(async () => (await request(from)).status === 200, 'the place to be free');
    assert.equal((await webhook(first)).status, 200, 'a second webhook is no error');
    await expectRefused(await request(from), 429, 'Too many concurrent sessions from your IP.');
    assert.equal((await webhook(other)).status, 200);
  });

  test('sessions in an hour', async () => {
    const from = address();
    for (let i = 0; i < 4; i++) {
      const id = await expectAdmitted(await request(from));
      assert.equal((await webhook(id)).status, 200);
    }
    const refused = await request(from);
    const seconds = Number(refused.headers.get('retry-after'));
    assert.ok(seconds > 3500 && seconds <= 3600, `Retry-After: ${seconds}`);
    await expectRefused(refused, 429, 'Hourly rate limit exceeded.');
  });

  test('a flood from one address takes no more than its limit', async () => {
    const from = address();
    const statuses = await Promise.all(Array.from({ length: 60 }, async () => (await request(from)).status));
    assert.equal(statuses.filter((s) => s === 200).length, 2);
    assert.equal(statuses.filter((s) => s === 429).length, 58);
    assert.equal(ipapi.asked.filter((a) => a === from).length, 1, 'one paid lookup');
  });

  test('whoever is refused is not looked up, and what was taken is given back', async () => {
    const from = address();
    ipapi.facts.set(from, { is_vpn: true });
    for (let i = 0; i < 6; i++) await expectRefused(await request(from), 403, 'VPN detected.');
    assert.equal(ipapi.asked.filter((a) => a === from).length, 1, 'the facts are kept');

    const failing = address();
    house.platform.fault = 'status500';
    for (let i = 0; i < 5; i++) {
      const response = await request(failing);
      await expectRefused(response, 500, 'An error occurred while trying to initiate the session.');
    }
    house.platform.fault = undefined;
    await expectAdmitted(await request(failing));
  });

  test('each reputation has its words, and a rule that changes acts at once', async () => {
    const cases = [
      ['is_proxy', 'Proxy detected.'],
      ['is_datacenter', 'Datacenter IP detected.'],
      ['is_tor', 'Tor exit node detected.'],
      ['is_abuser', 'Abusive IP detected.'],
    ];
    for (const [fact, message] of cases) {
      const from = address();
      ipapi.facts.set(from, { [fact]: true });
      await expectRefused(await request(from), 403, message);
    }
    const from = address();
    ipapi.facts.set(from, { is_vpn: true });
    await expectRefused(await request(from), 403, 'VPN detected.');
    await gateway.reload({ Security: { BlockVpn: false } });
    await expectAdmitted(await request(from));
    await gateway.reload({ Security: { BlockVpn: true } });
    await expectRefused(await request(from), 403, 'VPN detected.');
    assert.equal(ipapi.asked.filter((a) => a === from).length, 1);
  });

  test('a reputation service that fails', async () => {
    ipapi.fault = 'garbage';
    const from = address();
    await expectRefused(await request(from), 403, 'Could not verify IP address.');
    ipapi.fault = undefined;
    await expectRefused(await request(from), 403, 'Could not verify IP address.'); // kept for a minute
    await gateway.reload({ IpApi: { FailOpen: true } });
    await expectAdmitted(await request(from));
    ipapi.fault = 'stall';
    const failed = 'iqra_ip_check_lookups_total{outcome="failed"}';
    const before = await gateway.metric(failed);
    await expectAdmitted(await request(address()));
    assert.equal(await gateway.metric(failed), before + 1, 'it was waited for, and given up');
    await gateway.reload({ IpApi: { FailOpen: false } });
  });

  test('private addresses are not looked up', async () => {
    await expectAdmitted(await request('192.168.1.7'));
    assert.ok(!ipapi.asked.includes('192.168.1.7'));
  });

  test('nobody hides behind headers', async () => {
    const from = address();
    const hops = (client) => `6.6.6.${next}, 192.168.0.1, ${client}`;
    await expectAdmitted(await request(hops(from)));
    await expectAdmitted(await request(hops(`${from}:5060`)));
    await expectRefused(await request(hops(`::ffff:${from}`)), 429, 'Too many concurrent sessions from your IP.');
    const long = `${'6.6.6.6, '.repeat(500)}${from}`;
    await expectRefused(await request(long), 429, 'Too many concurrent sessions from your IP.');
    // One customer's IPv6 network is one source.
    await expectAdmitted(await request('2001:db8:5:6::1'));
    await expectAdmitted(await request('2001:db8:5:6:ffff::2'));
    await expectRefused(await request('2001:db8:5:6::3'), 429, 'Too many concurrent sessions from your IP.');
    await expectAdmitted(await request('2001:db8:5:7::1'));
  });

  test('the webhook lets in the platform alone', async () => {
    assert.equal((await webhook('ses_x', null)).status, 401);
    const wrong = await webhook('ses_x', 'wrong');
    assert.equal(wrong.status, 401);
    assert.equal(await wrong.text(), '');
    await expectRefused(await webhook('ses_unknown'), 400, 'No session found for ConversationSessionId.');
    await expectRefused(await webhook(''), 400, 'Invalid or missing ConversationSessionId.');
    await expectRefused(await webhook(7), 400, 'Invalid or missing ConversationSessionId.');
    let limited;
    for (let i = 0; i < 20 && !limited; i++) {
      const response = await webhook('ses_x', 'wrong');
      limited = response.status === 429 && response;
    }
    assert.equal(limited.headers.get('retry-after'), '60');
    await expectRefused(await webhook('ses_unknown'), 400, 'No session found for ConversationSessionId.');
  });

  test('bodies that no client sends', async () => {
    const post = (body) =>
      fetch(`${gateway.url}/api/session/request`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-forwarded-for': address() },
        body,
      });
    const head = '{"campaignId":"demo","regionId":"local","transportType":0,"dynamicVariables":{},"metadata":{}';
    const deep = `${head},"x":${'['.repeat(60)}${']'.repeat(60)}}`;
    for (const body of ['', 'junk', '[]', deep, `${head},"campaignId":"demo"}`, `${head}} x`, head, '[['.repeat(30000)]) {
      const response = await post(body);
      assert.equal(response.status, 400, body.slice(0, 40));
      const problem = await response.json();
      assert.ok(problem.errors.$[0]);
      assert.equal(problem.message, problem.errors.$[0]);
    }
    assert.equal((await post(`${head},"x":"${'y'.repeat(65536)}"}`)).status, 413);
    await expectAdmitted(await post(`${head},"x":"${'y'.repeat(60000)}"}`));
  });

  test('the metrics tell', async () => {
    assert.ok((await gateway.metric('iqra_rate_limit_total{verdict="concurrent"}')) > 0);
    assert.ok((await gateway.metric('iqra_rate_limit_total{verdict="hourly"}')) > 0);
    assert.ok((await gateway.metric('iqra_ip_checks_total{verdict="vpn"}')) > 0);
    assert.ok((await gateway.metric('iqra_ip_check_cache_total{result="hit"}')) > 0);
    assert.ok((await gateway.metric('iqra_webhooks_total{outcome="ended"}')) > 0);
    assert.equal(await gateway.metric('iqra_ip_check_lookups'), 0);
  });

  // A browser asks before it calls from another site; the header's name is for it to choose.
  test('a page of another site may call when it is listed', async () => {
    const ask = (origin, method, path) =>
      new Promise((resolve, reject) => {
        const options = {
          host: HOST,
          port: gateway.port,
          method: 'OPTIONS',
          path,
          headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'x-signalr-user-agent,x-any' },
        };
        http.request(options, resolve).on('error', reject).end();
      });
    const listed = (await ask('https://shop.example', 'POST', '/api/session/request')).headers;
    assert.equal(listed['access-control-allow-origin'], 'https://shop.example');
    assert.equal(listed['access-control-allow-credentials'], 'true');
    assert.equal(listed['access-control-allow-methods'], 'POST, OPTIONS');
    assert.equal(listed['access-control-allow-headers'], 'x-signalr-user-agent,x-any');
    assert.match(listed.vary, /Origin/);
    const other = (await ask('https://shop.example.evil', 'POST', '/api/session/request')).headers;
    for (const name of Object.keys(other)) assert.ok(!name.startsWith('access-control-'), name);
    assert.match(other.vary, /Origin/);
  });
});
