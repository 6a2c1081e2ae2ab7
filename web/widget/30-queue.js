// SPDX-License-Identifier: Apache-2.0
// The waiting line: the JSON hub protocol of SignalR, enough of it.

const RECORD_END = '\x1e';
const HUB_PING_MS = 15000;
const HUB_SILENCE_MS = 30000;
const HUB_GIVE_UP_MS = 120000;

// Waits in line for one request id. Reconnects by itself; onPosition(data) reports the place; wait() settles once.
class QueueHub {
  constructor(options, requestId, onPosition) {
    this.base = `${options.middlewareUrl}/sessionHub`;
    this.headers = options.headers;
    this.requestId = requestId;
    this.onPosition = onPosition;
    this.result = deferred();
    this.closed = false;
  }

  wait() {
    this._loop();
    return this.result.promise;
  }

  close() {
    this.closed = true;
    this.result.reject(ABORTED);   // without effect when settled
    clearInterval(this.timer);
    if (!this.ws) return;
    this._send({ type: 7 });
    this.ws.close();
  }

  async _loop() {
    let lostAt = Date.now();
    for (let tries = 0; !this.closed; tries++) {
      if (tries) await sleep(Math.min(10000, 500 * 2 ** Math.min(tries - 1, 5)) * (0.75 + Math.random() / 2));
      if (this.closed) return;
      const established = await this._connectOnce().catch(() => false);
      clearInterval(this.timer);
      if (established) { tries = 0; lostAt = Date.now(); }
      if (Date.now() - lostAt > HUB_GIVE_UP_MS) this._finish(new CallError('QUEUE_LOST'));
    }
  }

  // One connection from negotiate to close; resolves to whether the handshake succeeded.
  async _connectOnce() {
    const response = await fetch(`${this.base}/negotiate?negotiateVersion=1`,
      { method: 'POST', headers: this.headers });
    if (response.status >= 400 && response.status < 500 && response.status !== 429) {
      return this._finish(new CallError('QUEUE_LOST'));   // asking again would not help
    }
    if (!response.ok) throw new CallError('QUEUE_LOST');
    const { connectionToken, connectionId } = await response.json();
    if (this.closed) return false;
    const ws = this.ws = new WebSocket(
      `${socketUrl(this.base)}?id=${encodeURIComponent(connectionToken || connectionId)}`);
    this.ready = false;
    this.pending = '';
    return new Promise((resolve) => {
      ws.onopen = () => this._greet(ws);
      ws.onmessage = (event) => this._receive(String(event.data));
      ws.onclose = () => resolve(this.ready);
    });
  }

  _greet(ws) {
    this._send({ protocol: 'json', version: 1 });
    this._keepAlive(ws);
  }

  _keepAlive(ws) {
    let lastPing = Date.now();
    this.heardAt = lastPing;
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      const now = Date.now();
      if (now - this.heardAt > HUB_SILENCE_MS) return ws.close();
      if (now - lastPing >= HUB_PING_MS) { lastPing = now; this._send({ type: 6 }); }
    }, 1000);
  }

  _send(record) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(record) + RECORD_END);
  }

  _receive(text) {
    this.heardAt = Date.now();
    const records = (this.pending + text).split(RECORD_END);
    this.pending = records.pop();
    for (const record of records) {
      const message = parseJson(record);
      if (message) this.ready ? this._dispatch(message) : this._handshake(message);
    }
  }

  _handshake(message) {
    if (message.error) return this.ws.close();
    this.ready = true;
    this._send({ type: 1, invocationId: '0', target: 'Register', arguments: [this.requestId] });
  }

  _dispatch(message) {
    const data = (message.arguments && message.arguments[0]) || {};
    if (message.type === 3 && message.error) return this._finish(new CallError('QUEUE_FAILED', message.error));
    if (message.type === 7) {
      if (message.allowReconnect === false && message.error) this._finish(new CallError('QUEUE_LOST'));
      return this.ws.close();
    }
    if (message.type !== 1) return;
    if (message.target === 'SessionReady') this._finish(null, data);
    else if (message.target === 'SessionFailed') this._finish(new CallError('QUEUE_FAILED', data.message));
    else if (message.target === 'QueuePosition') this.onPosition(data);
  }

  _finish(err, grant) {
    err ? this.result.reject(err) : this.result.resolve(grant);
    this.close();
  }
}
