// SPDX-License-Identifier: Apache-2.0
// What is drawn: listens to the widget's events and calls its public methods.

class View {
  constructor(widget, container) {
    this.widget = widget;
    this.text = Object.assign({}, LABELS, { title: widget.options.title || LABELS.title }, widget.options.labels);
    this.host = el('div', { 'data-theme': widget.options.theme });
    this.shadow = this.host.attachShadow({ mode: 'open' });
    addStyles(this.shadow);
    this.shadow.append(this._build());
    container.append(this.host);
    this._listen();
    this._onState(widget.status);
    this._onMuted(widget.muted);
  }

  remove() {
    clearInterval(this.clockTimer);
    for (const [name, fn] of this.bound) this.widget.off(name, fn);
    if (this.onDeviceChange) navigator.mediaDevices.removeEventListener('devicechange', this.onDeviceChange);
    this.host.remove();
  }

  values() {
    const values = {};
    for (const { field, input } of this.inputs) values[field.name] = input.type === 'checkbox' ? String(input.checked) : input.value;
    return values;
  }

  // -- construction

  _build() {
    const { text } = this;
    this.card = el('section.card', { role: 'region', 'aria-label': text.title, part: 'card' },
      this._buildStage(),
      this.alert = el('div.alert', { role: 'alert', hidden: true }),
      this._buildFields(),
      this.queue = el('div.queue', { hidden: true }, el('span', null, text.position),
        this.place = el('strong'), this.eta = el('span')),
      this.unlock = el('button.plain', { type: 'button', hidden: true, onclick: () => this.widget.unlockAudio() }, text.unlock),
      this._buildMeters(), this._buildChat(), this._buildActions(), this._buildDevices(), this._buildQuality());
    return this.card;
  }

  _buildStage() {
    this.barNodes = [0, 1, 2, 3, 4].map(() => el('b'));
    return el('div.stage', null,
      el('div.orb', { 'aria-hidden': 'true' }, this.far = el('i.far'), this.near = el('i.near'), el('i.core'),
        el('div.bars', null, ...this.barNodes)),
      el('p.title', null, this.text.title),
      el('p.status', null, el('span.dot', { 'aria-hidden': 'true' }),
        this.status = el('span', { role: 'status', 'aria-live': 'polite' }),
        this.time = el('span.time', { role: 'timer', 'aria-live': 'off', hidden: true })));
  }

  _buildFields() {
    this.inputs = this.widget.options.formFields.map((field) => ({ field, input: this._input(field) }));
    const rows = this.inputs.map(({ field, input }) => (field.type === 'hidden' ? input : el('div.field', null,
      el('label', { for: input.id }, field.label || field.name, field.required ? null : el('em', null, ` ${this.text.optional}`)), input)));
    this.form = el('form.fields', { novalidate: true, onsubmit: (event) => { event.preventDefault(); this._start(); } }, ...rows);
    return this.form;
  }

  _input(field) {
    const shared = { id: `iqra-${field.name}`, name: field.name, required: field.required, 'aria-required': field.required ? 'true' : null };
    const tag = field.type === 'select' || field.type === 'textarea' ? field.type : 'input';
    const input = el(tag, Object.assign(shared, tag === 'input' ? { type: field.type } : null,
      { placeholder: field.placeholder, autocomplete: field.autocomplete }));
    for (const option of field.options || []) {
      const { value, label } = typeof option === 'object' ? option : { value: option, label: option };
      input.append(el('option', { value }, label));
    }
    if (field.value !== undefined) input.value = field.value;
    input.oninput = () => input.removeAttribute('aria-invalid');
    input.onkeydown = (event) => {
      if (event.key === 'Enter' && tag === 'input' && !event.isComposing) { event.preventDefault(); this._start(); }
    };
    return input;
  }

  _meter(label, kind) {
    const bar = el('div');
    const node = el('div.meter' + kind, null, el('span', { 'aria-hidden': 'true' }, label),
      el('div.track', { role: 'meter', 'aria-label': `${label}: level`, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': 0 }, bar));
    return { node, bar, track: bar.parentNode };
  }

  _buildMeters() {
    this.mine = this._meter(this.text.you, '.mine');
    this.theirs = this._meter(this.text.agent, '');
    return (this.meters = el('div.meters', { hidden: true }, this.mine.node, this.theirs.node));
  }

  _buildChat() {
    const { text } = this;
    this.log = el('div.log', { role: 'log', 'aria-label': text.chat, 'aria-live': 'polite', tabindex: '0' });
    this.write = el('input', { type: 'text', 'aria-label': text.chatHint, placeholder: text.chatHint, autocomplete: 'off', maxlength: 16000, enterkeyhint: 'send' });
    this.sendButton = el('button', { type: 'submit', 'aria-label': text.send }, icon('send'));
    return (this.chat = el('div.chat', { hidden: true }, this.log,
      el('form.write', { onsubmit: (event) => { event.preventDefault(); this._send(); } }, this.write, this.sendButton)));
  }

  _buildActions() {
    this.mute = el('button.side', { type: 'button', onclick: () => this.widget.setMuted(!this.widget.muted) });
    this.main = el('button.main', { type: 'button', onclick: () => this._toggle() });
    this.more = el('button.side', {
      type: 'button', 'aria-label': this.text.devices, title: this.text.devices, 'aria-expanded': 'false', 'aria-controls': 'iqra-devices',
      onclick: () => this._toggleDevices()
    }, icon('sliders'));
    return el('div.actions', null, this.mute, this.main, this.more);
  }

  _buildDevices() {
    const { text, widget } = this;
    const failed = (err) => this._alert(err.message);
    this.micSelect = el('select', { id: 'iqra-mic', onchange: (e) => widget.setDevice(e.target.value, 'audioinput').catch(failed) });
    this.speakerSelect = el('select', { id: 'iqra-speaker', onchange: (e) => widget.setDevice(e.target.value, 'audiooutput').catch(failed) });
    this.speakerRow = el('div.field', null, el('label', { for: 'iqra-speaker' }, text.speaker), this.speakerSelect);
    return (this.panel = el('div.panel', { id: 'iqra-devices', hidden: true, role: 'group', 'aria-label': text.devices },
      el('div.field', null, el('label', { for: 'iqra-mic' }, text.microphone), this.micSelect), this.speakerRow));
  }

  _buildQuality() {
    this.numbers = {};
    const list = el('dl', null, ...['rtt', 'loss', 'jitter', 'codec', 'path'].map((key) =>
      el('div', null, el('dt', null, this.text[key]), this.numbers[key] = el('dd', null, '\u2013'))));
    this.signal = el('span.wave', { 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    return (this.net = el('details.net', { hidden: true },
      el('summary', null, this.signal, el('span', null, `${this.text.quality}: `, this.grade = el('b'))), list));
  }

  // -- events

  _listen() {
    this.bound = Object.entries({
      state: (status) => this._onState(status), queue: () => this._onQueue(), message: (message) => this._onMessage(message),
      level: (levels) => this._onLevel(levels), stats: (stats) => this._onStats(stats), muted: (muted) => this._onMuted(muted),
      error: (error) => { if (!error.fatal) this._alert(error.message); },
      blocked: (blocked) => show(this.unlock, blocked), devices: () => this._fillDevices()
    });
    for (const [name, fn] of this.bound) this.widget.on(name, fn);
    if (!navigator.mediaDevices || !navigator.mediaDevices.addEventListener) return;
    this.onDeviceChange = () => this._fillDevices();
    navigator.mediaDevices.addEventListener('devicechange', this.onDeviceChange);
  }

  _onState(status) {
    const { state } = status;
    const entered = state !== this.shown;
    if (entered) this.said = null;
    this.shown = state;
    this.card.dataset.state = state;
    this.card.classList.toggle('busy', BUSY.includes(state) || Boolean(status.reconnecting));
    const words = this._words(status);
    if (entered || state === 'CONNECTED') this.status.textContent = words;
    const live = state === 'CONNECTED';
    const rest = state === 'IDLE' || state === 'ERROR';
    show(this.form, rest && this.inputs.length > 0);
    show(this.queue, state === 'QUEUED');
    [this.meters, this.net, this.time, this.mute].forEach((node) => show(node, live));
    show(this.chat, live || (rest && this.log.childElementCount > 1));
    this.write.disabled = this.sendButton.disabled = !live;
    this._label(state);
    if (state === 'ERROR') this._failed(status);
    else if (entered) this._alert('');
    if (entered && state === 'VALIDATING') this.log.replaceChildren(el('p.note', null, this.text.chatEmpty));
    if (entered && live) this._enterCall();
    if (!live) clearInterval(this.clockTimer);
    if (rest) this._onLevel({ mic: 0, agent: 0 });
  }

  _words(status) {
    if (status.reconnecting) return this.text.reconnecting;
    if (status.state !== 'IDLE' || !status.reason) return this.text[status.state.toLowerCase()];
    const words = status.reason === 'remote' ? this.text.hungUp : this.text.ended;
    return status.durationMs ? `${words} \u00b7 ${clock(status.durationMs)}` : words;
  }

  // One button for start, cancel and end, so that the keyboard focus stays where it was.
  _label(state) {
    const { text } = this;
    const rest = state === 'IDLE' || state === 'ERROR';
    const words = { IDLE: text.call, ERROR: text.retry, QUEUED: text.leave, CONNECTED: text.end }[state] || text.cancel;
    if (this.main.textContent === words) return;
    this.main.replaceChildren(icon('phone'), words);
    this.main.classList.toggle('stop', !rest);
  }

  _toggle() {
    if (this.shown === 'IDLE' || this.shown === 'ERROR') this._start();
    else this.widget.stop();
  }

  _start() {
    const wrong = this.inputs.find(({ input }) => !input.checkValidity());
    this.inputs.forEach(({ input }) => input.setAttribute('aria-invalid', String(!input.checkValidity())));
    if (wrong) {
      this._alert(`${wrong.field.label || wrong.field.name}: ${wrong.input.validationMessage}`);
      return wrong.input.focus();
    }
    this._alert('');
    this.widget.start(this.values());
  }

  _failed(status) {
    this._alert(status.message);
    for (const { field, input } of this.inputs) {
      if (status.fields && status.fields.includes(field.name)) input.setAttribute('aria-invalid', 'true');
    }
  }

  _enterCall() {
    this._onStats(null);
    const tick = () => { this.time.textContent = clock(Date.now() - this.widget.connectedAt); };
    tick();
    clearInterval(this.clockTimer);
    this.clockTimer = setInterval(tick, 500);
    this._keepInView();
  }

  // The card grows when the call begins: what was pressed must not move off a small screen.
  _keepInView() {
    if (!this.shadow.activeElement) return;
    this.card.scrollIntoView({ block: 'nearest' });
    this.main.scrollIntoView({ block: 'nearest' });
  }

  _alert(message) {
    show(this.alert, Boolean(message));
    if (message) this.alert.replaceChildren(icon('alert'), el('span', null, message));
  }

  _onQueue() {
    const { queuePosition, etaSeconds } = this.widget.status;
    const first = queuePosition === 1;
    this.place.textContent = queuePosition || '\u2013';
    this.eta.textContent = etaSeconds > 0 ? this.text.eta.replace('{time}', duration(Math.round(etaSeconds))) : first ? this.text.next : '';
    // Said once per move, not per second of the estimate; the number itself is on the screen already.
    if (this.said !== queuePosition) this.status.replaceChildren(this.text.queued, el('span.sr', null, `: ${queuePosition}`));
    this.said = queuePosition;
  }

  _onMuted(muted) {
    const { text } = this;
    this.card.classList.toggle('muted', muted);
    this.mute.setAttribute('aria-pressed', String(muted));
    this.mute.setAttribute('aria-label', text.mute);
    this.mute.title = muted ? text.unmute : text.mute;
    this.mute.replaceChildren(icon(muted ? 'micOff' : 'mic'));
  }

  _onLevel({ mic, agent }) {
    this.mine.bar.style.transform = `scaleX(${mic.toFixed(3)})`;
    this.theirs.bar.style.transform = `scaleX(${agent.toFixed(3)})`;
    this.far.style.transform = this.shown === 'CONNECTED' ? `scale(${(1.08 + agent * 0.24).toFixed(3)})` : '';
    this.near.style.transform = `scale(${(1.02 + mic * 0.2).toFixed(3)})`;
    [0.55, 0.85, 1, 0.8, 0.5].forEach((weight, index) => {
      this.barNodes[index].style.height = `${Math.round(16 + 84 * agent * weight * (0.72 + 0.28 * Math.random()))}%`;
    });
    const now = Date.now();
    if (now - (this.meterAt || 0) < 1000) return;
    this.meterAt = now;
    this.mine.track.setAttribute('aria-valuenow', Math.round(mic * 100));
    this.theirs.track.setAttribute('aria-valuenow', Math.round(agent * 100));
  }

  _onStats(stats) {
    const s = stats || { quality: 'unknown', rttMs: null, jitterMs: null };
    const ms = (value) => (value === null || value === undefined ? '\u2013' : `${Math.round(value)} ms`);
    this.signal.dataset.q = s.quality;
    this.grade.textContent = this.text[s.quality] + (s.rttMs ? ` \u00b7 ${ms(s.rttMs)}` : '');
    this.numbers.rtt.textContent = ms(s.rttMs);
    this.numbers.jitter.textContent = ms(s.jitterMs);
    this.numbers.loss.textContent = s.lossPercent === undefined ? '\u2013' : `${s.lossPercent} %`;
    this.numbers.codec.textContent = s.codec || '\u2013';
    const relayed = s.localCandidateType === 'relay' || s.remoteCandidateType === 'relay';
    this.numbers.path.textContent = s.localCandidateType ? (relayed ? this.text.relay : this.text.direct) : '\u2013';
  }

  // -- chat

  _send() {
    const value = this.write.value.trim();
    if (!value || !this.widget.sendText(value)) return;
    this._say(value, 'me', this.text.you);
    this.write.value = '';
  }

  // The gateway's greeting on the data channel is for programs.
  _onMessage({ data }) {
    if (!/backend connected\s*$/i.test(data)) this._say(data, 'them', this.text.agent);
  }

  _say(words, kind, who) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(el(`p.${kind}`, null, who ? el('span.sr', null, `${who}: `) : null, words));
    while (this.log.childElementCount > 200) this.log.firstChild.remove();
    if (atEnd || kind === 'me') this.log.scrollTop = this.log.scrollHeight;
  }

  // -- devices

  _toggleDevices() {
    const open = this.panel.hidden;
    show(this.panel, open);
    this.more.setAttribute('aria-expanded', String(open));
    if (open) this._fillDevices();
  }

  async _fillDevices() {
    if (this.panel.hidden) return;
    const devices = await this.widget.listDevices().catch(() => []);
    const fill = (select, kind, chosen) => {
      const found = devices.filter((device) => device.kind === kind && device.deviceId !== 'default');
      select.replaceChildren(el('option', { value: '' }, this.text.systemDefault),
        ...found.map((device, index) => el('option', { value: device.deviceId }, device.label || `${select.labels[0].textContent} ${index + 1}`)));
      select.value = found.some((device) => device.deviceId === chosen) ? chosen : '';
      return found.length;
    };
    fill(this.micSelect, 'audioinput', this.widget._micId);
    const speakers = fill(this.speakerSelect, 'audiooutput', this.widget._sinkId);
    show(this.speakerRow, speakers > 0 && 'setSinkId' in HTMLMediaElement.prototype);
  }
}
