// SPDX-License-Identifier: Apache-2.0
// ipapi.is, as documented: GET {base}?q={address}&key={key} -> facts. `facts` holds what it says of an address; of
// any other it says nothing bad.
import { once } from 'node:events';
import http from 'node:http';

// fault: undefined | 'stall' | 'garbage' | 'status500'
export async function startIpApi({ host = '127.0.0.1', key = 'ipapi-secret' } = {}) {
  const ipapi = { asked: [], facts: new Map(), fault: undefined, key };
  const server = http.createServer((request, response) => {
    const json = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const url = new URL(request.url, 'http://ipapi');
    const address = url.searchParams.get('q');
    ipapi.asked.push(address);
    if (ipapi.fault === 'stall') return undefined;
    if (ipapi.fault === 'garbage') return response.end('<html>');
    if (ipapi.fault === 'status500') return json(500, {});
    if (url.searchParams.get('key') !== key) return json(200, { error: `Invalid API key ${url.searchParams.get('key')}` });
    return json(200, {
      ip: address,
      is_bogon: false,
      is_mobile: false,
      is_crawler: false,
      is_datacenter: false,
      is_tor: false,
      is_proxy: false,
      is_vpn: false,
      is_abuser: false,
      company: { name: 'Example', type: 'isp' },
      ...ipapi.facts.get(address),
    });
  });
  server.listen(0, host);
  await once(server, 'listening');
  ipapi.baseUrl = `http://${host}:${server.address().port}/`;
  ipapi.close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return ipapi;
}
