// SPDX-License-Identifier: Apache-2.0
// The signalling socket.

function dial(url, timeoutMs) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url);
    const timer = setTimeout(() => { ws.onclose = null; ws.close(); reject(new CallError('SIGNALLING')); }, timeoutMs);
    ws.onopen = () => { clearTimeout(timer); resolve(ws); };
    ws.onclose = () => { clearTimeout(timer); reject(new CallError('SIGNALLING')); };
  });
}

// One signalling conversation over as many sockets as the network needs. `events`: onMessage(object),
// onLost(), onResumed(), onHangup(), onFail(CallError).
class Signalling {
  constructor(events) {
    this.events = events;
    this.outbox = [];
    this.stale = [];
    this.closed = false;
  }

  async open(url) { this._adopt(await dial(url, 10000)); }

  send(message) {
    if (this.ws && this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
    else if (message.type === 'candidate' && this.outbox.length < 200) this.outbox.push(message);
  }

  close() {
    this.closed = true;
    clearTimeout(this.errorTimer);
    for (const ws of [this.ws, ...this.stale]) if (ws) { ws.onclose = ws.onmessage = null; ws.close(1000); }
  }

  // The socket looks open but nothing comes back: leave it, since a close frame arriving late would end the
  // call, and resume on a new one.
  suspect() {
    if (this.closed || this.resuming || !this.resumeUrl) return;
    this.ws.onclose = this.ws.onmessage = null;
    this.stale.push(this.ws);
    this._resume();
  }

  _adopt(ws) {
    if (this.closed) return ws.close(1000);
    this.ws = ws;
    ws.onmessage = (event) => this._receive(event.data);
    ws.onclose = (event) => this._dropped(event);
    this.stale.splice(0).forEach((old) => old.close());
  }

  _receive(data) {
    const message = typeof data === 'string' ? parseJson(data) : null;
    if (!message) return;
    if (message.type === 'session' && message.resumeUrl) this.resumeUrl = message.resumeUrl;
    if (message.type === 'error') return this._noteError(message);
    this.events.onMessage(message);
  }

  // An error normally explains the close that follows; one that is not followed by a close is a warning.
  _noteError(message) {
    this.lastError = message;
    clearTimeout(this.errorTimer);
    this.errorTimer = setTimeout(() => {
      this.lastError = null;
      this.events.onMessage(message);
    }, 1000);
  }

  _dropped(event) {
    if (this.closed) return;
    clearTimeout(this.errorTimer);
    const { code, reason } = event;
    if (code >= 4000 || code === 1008 || this.lastError) {
      const error = this.lastError || {};
      return this.events.onFail(new CallError(error.code || `CLOSE_${code}`, error.message || reason || ERROR_TEXT.SIGNALLING_LOST));
    }
    if (code === 1000 || code === 1005) return this.events.onHangup();
    if (!this.resumeUrl) return this.events.onFail(new CallError('SIGNALLING_LOST'));
    this._resume();
  }

  async _resume() {
    const deadline = Date.now() + RESUME_WINDOW_MS;
    this.resuming = true;
    this.events.onLost();
    for (let waitMs = 250; !this.closed; waitMs = Math.min(waitMs * 2, 2000)) {
      await sleep(waitMs);
      if (this.closed) return;
      if (Date.now() >= deadline) return this.events.onFail(new CallError('SIGNALLING_LOST'));
      const ws = await dial(this.resumeUrl, 4000).catch(() => null);
      if (!ws) continue;
      this.resuming = false;
      this._adopt(ws);
      if (this.closed) return;
      this.events.onResumed();
      this.outbox.splice(0).forEach((message) => this.send(message));
      return;
    }
  }
}
