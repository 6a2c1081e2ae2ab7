// SPDX-License-Identifier: Apache-2.0
// Kamailio as a carrier's border element: it passes calls on to the proxy and follows the redirect itself, Contact by
// Contact, or leaves that to the caller. `hides`: Via, Record-Route, Contact and Call-ID of the caller do not reach us. `proxy`: where the proxy is, if elsewhere.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { until } from './gateway.mjs';
import { freePort } from './sip.mjs';

const config = (host, port, proxyPort, { follows = true, hides = false, proxy = host }) => `#!KAMAILIO
debug=2
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:${host}:${port}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "acc.so"
loadmodule "xlog.so"
loadmodule "uac_redirect.so"
modparam("uac_redirect", "default_filter", "accept")
modparam("tm", "contacts_avp", "tm_contacts")
modparam("tm", "contact_flows_avp", "tm_contact_flows")
modparam("tm", "fr_timer", 4000)
${hides ? 'loadmodule "topoh.so"\nmodparam("topoh", "mask_key", "a key")\nmodparam("topoh", "mask_ip", "192.0.2.1")\nmodparam("topoh", "mask_callid", 1)' : ''}

request_route {
  xlog("L_NOTICE", "passes $rm from $si:$sp\n");
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    if (loose_route() || t_check_trans()) t_relay();
    exit;
  }
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  record_route();
  if ($ru =~ "X-CallQueue-Id=") { t_relay(); exit; }
  $du = "sip:${proxy}:${proxyPort}";
  ${follows ? 't_on_failure("REDIRECTED");' : ''}
  t_relay();
}

failure_route[REDIRECTED] {
  if (t_check_status("302")) {
    get_redirects("3:3");
    t_load_contacts(); # leaves a single one as it is
    if (t_next_contacts()) t_on_failure("DEAD");
    t_on_branch("TRIES");
    t_relay();
  }
}

failure_route[DEAD] {
  if (t_next_contacts()) {
    t_on_failure("DEAD");
    t_on_branch("TRIES");
    t_relay();
  }
}

branch_route[TRIES] { xlog("L_NOTICE", "tries $ru\n"); }
`;

export class Kamailio {
  static async start(host, proxyPort, options = {}) {
    const kamailio = new Kamailio();
    kamailio.port = await freePort(host);
    kamailio.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'iqra-kamailio-'));
    const file = path.join(kamailio.dir, 'kamailio.cfg');
    fs.writeFileSync(file, config(host, kamailio.port, proxyPort, options));
    kamailio.log = '';
    // In the foreground, and in a process group of its own, which ends with it.
    kamailio.child = spawn('kamailio', ['-DD', '-f', file, '-Y', kamailio.dir, '-w', kamailio.dir, '-m', '32', '-M', '4'], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    kamailio.exited = once(kamailio.child, 'exit').then(([code]) => (kamailio.end = { code }));
    for (const stream of [kamailio.child.stdout, kamailio.child.stderr]) stream.on('data', (data) => (kamailio.log += data));
    return kamailio;
  }

  // `ping` sends an OPTIONS and says whether it was answered.
  async ready(ping) {
    await until(async () => {
      if (this.end) throw new Error(`kamailio ended (${this.end.code}):\n${this.log.slice(-3000)}`);
      return ping();
    }, 'kamailio to answer', 20000);
  }

  async stop() {
    if (!this.end) process.kill(-this.child.pid, 'SIGTERM');
    const late = setTimeout(() => process.kill(-this.child.pid, 'SIGKILL'), 5000);
    await this.exited;
    clearTimeout(late);
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}
