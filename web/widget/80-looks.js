// SPDX-License-Identifier: Apache-2.0
// The words, icons, styles and element helpers of the view.

const LABELS = {
  title: 'Voice assistant', call: 'Start call', cancel: 'Cancel', leave: 'Leave the line', end: 'End call', retry: 'Try again',
  idle: 'Ready when you are', validating: 'Opening the microphone\u2026', connecting: 'Connecting\u2026', queued: 'Waiting in line',
  connected: 'Connected', reconnecting: 'Reconnecting\u2026', error: 'Call not connected', ended: 'Call ended',
  hungUp: 'The agent ended the call', you: 'You', agent: 'Agent', mute: 'Mute', unmute: 'Unmute', devices: 'Devices',
  microphone: 'Microphone', speaker: 'Speaker', systemDefault: 'System default', position: 'Your place in line',
  next: 'You are next', eta: 'About {time} to wait', chat: 'Messages', chatHint: 'Write a message', send: 'Send',
  chatEmpty: 'You can also write to the agent here.',
  unlock: 'Turn on sound', quality: 'Connection', good: 'Good', fair: 'Fair', poor: 'Poor', unknown: 'Measuring\u2026',
  rtt: 'Round trip', loss: 'Loss', jitter: 'Jitter', codec: 'Codec', path: 'Path', relay: 'Relayed', direct: 'Direct', optional: '(optional)'
};

const ICONS = {
  phone: 'M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2Z',
  mic: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11a6 6 0 0 0 12 0M12 17v4',
  micOff: 'M4 4l16 16M9 9v2a3 3 0 0 0 4.5 2.6M15 11V6a3 3 0 0 0-5.8-1M6 11a6 6 0 0 0 9.3 5M18 11a6 6 0 0 1-.4 2.2M12 17v4',
  sliders: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4',
  send: 'M5 12h13M12 5l7 7-7 7',
  alert: 'M12 8v5M12 16.5v.01M12 3l9.5 17h-19Z'
};

const DARK = `--bg:#121917;--raise:#1a2320;--ink:#eef4f1;--muted:#9cafa7;--line:#2b3733;--field:#66776f;--accent:#45d6a2;
  --on-accent:#04241a;--glow:#45d6a233;--you:#f2b45c;--danger:#cd3d34;--alert-bg:#34191a;--alert-ink:#ffb9b3;--warn:#f2b45c;--shadow:0 18px 50px #0009;color-scheme:dark`;
const LIGHT = `--bg:#fffefb;--raise:#f3f5f0;--ink:#15211d;--muted:#586761;--line:#e2e4dc;--field:#7d8b84;--accent:#08704f;
  --on-accent:#ffffff;--glow:#08704f26;--you:#b45f06;--danger:#b8322a;--alert-bg:#fdeceb;--alert-ink:#8c1d18;--warn:#8f5600;--shadow:0 18px 50px #15211d1f;color-scheme:light`;

const CSS = `
  :host{display:block;${LIGHT}}
  @media (prefers-color-scheme:dark){:host{${DARK}}}
  :host([data-theme=light]){${LIGHT}} :host([data-theme=dark]){${DARK}}
  *{box-sizing:border-box} [hidden]{display:none!important}
  .card{font:400 16px/1.45 var(--iqra-font,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif);
    width:100%;max-width:var(--iqra-width,420px);margin:0 auto;scroll-margin:12px;padding:20px;color:var(--ink);background:var(--iqra-background,var(--bg));
    border:1px solid var(--line);border-radius:var(--iqra-radius,22px);box-shadow:var(--shadow);text-align:start;
    --accent-now:var(--iqra-accent,var(--accent));--on-now:var(--iqra-on-accent,var(--on-accent))}
  p,dl,dd{margin:0} button,input,select,textarea{font:inherit;color:inherit}
  .sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
  :focus-visible{outline:3px solid var(--accent-now);outline-offset:2px}
  svg{width:20px;height:20px;fill:none;stroke:currentColor;stroke-width:1.9;stroke-linecap:round;stroke-linejoin:round;flex:none}
  .stage{display:grid;justify-items:center;gap:2px;padding:14px 0 16px;text-align:center}
  .orb{position:relative;width:100px;height:100px;margin:14px 0 24px;display:grid;place-items:center}
  .orb i{position:absolute;inset:0;border-radius:50%;transition:transform .12s linear,opacity .3s}
  .orb .far{background:var(--glow)} .orb .near{border:2px solid var(--you);opacity:0}
  .orb .core{background:linear-gradient(150deg,color-mix(in srgb,var(--accent-now),#fff 16%),var(--accent-now) 60%)}
  .bars{position:relative;display:flex;gap:6px;height:44px;align-items:center}
  .bars b{width:6px;height:16%;border-radius:3px;background:var(--on-now);transition:height .09s linear}
  [data-state=CONNECTED] .orb .near{opacity:.75}
  [data-state=IDLE] .orb .far{transform:scale(1.1)}
  [data-state=ERROR] .orb .core{background:var(--field)} [data-state=ERROR] .orb .far{opacity:0}
  .title{font-size:20px;font-weight:650;letter-spacing:-.01em}
  .status{display:flex;align-items:center;justify-content:center;gap:8px;min-height:24px;color:var(--muted)}
  .dot{width:9px;height:9px;border-radius:50%;background:var(--field);flex:none}
  [data-state=CONNECTED] .dot{background:var(--accent-now)}
  .busy .dot,[data-state=QUEUED] .dot{background:var(--warn);animation:pulse 1.2s ease-in-out infinite}
  [data-state=ERROR] .dot{background:var(--danger)}
  .busy .orb .far,[data-state=QUEUED] .orb .far{animation:breathe 1.8s ease-in-out infinite}
  @keyframes pulse{50%{opacity:.3}} @keyframes breathe{50%{transform:scale(1.28)}}
  .time{font-variant-numeric:tabular-nums;color:var(--ink);font-weight:600}
  .alert{display:flex;gap:10px;align-items:flex-start;margin:0 0 14px;padding:11px 13px;border-radius:13px;background:var(--alert-bg);color:var(--alert-ink);font-size:15px}
  .alert svg{margin-top:1px}
  .fields{display:grid;gap:12px;margin:0 0 16px}
  .field{display:grid;gap:5px} .field label{font-size:14px;font-weight:550}
  .field label em{font-style:normal;font-weight:400;color:var(--muted)}
  input,select,textarea{width:100%;min-width:0;min-height:46px;padding:10px 13px;border:1px solid var(--field);border-radius:12px;background:var(--bg)}
  input::placeholder,textarea::placeholder{color:var(--muted);opacity:1}
  [aria-invalid=true]{border-color:var(--danger);box-shadow:0 0 0 1px var(--danger)}
  .queue{margin:0 0 16px;padding:16px;border-radius:16px;background:var(--raise);text-align:center}
  .queue strong{display:block;font-size:46px;line-height:1.1;font-weight:680;letter-spacing:-.03em;font-variant-numeric:tabular-nums}
  .queue span{color:var(--muted);font-size:15px}
  .meters{display:grid;gap:10px;margin:0 0 16px}
  .meter{display:grid;grid-template-columns:64px 1fr;gap:10px;align-items:center;font-size:14px;color:var(--muted)}
  .track{height:8px;border-radius:4px;background:var(--line);overflow:hidden}
  .track div{height:100%;border-radius:4px;background:var(--accent-now);transform:scaleX(0);transform-origin:0 50%;transition:transform .08s linear}
  .mine .track div{background:var(--you)} .muted .mine .track div{background:var(--field)}
  :host(:dir(rtl)) .track div{transform-origin:100% 50%}
  .actions{display:flex;gap:10px}
  .actions button{min-height:52px;border-radius:16px;border:1px solid transparent;cursor:pointer;display:inline-flex;align-items:center;justify-content:center;gap:9px;font-weight:600}
  .main{flex:1;background:var(--accent-now);color:var(--on-now)} .main:hover{filter:brightness(1.07)}
  .main.stop{background:var(--danger);color:#fff} .main.stop svg{transform:rotate(135deg)}
  .side{width:52px;flex:none;background:var(--raise);color:var(--ink);border-color:var(--line)!important}
  .side:hover{border-color:var(--field)!important} .side[aria-pressed=true],.side[aria-expanded=true]{background:var(--ink);color:var(--bg)}
  .plain{width:100%;min-height:46px;margin:0 0 14px;border:1px solid var(--accent-now);border-radius:13px;background:none;color:var(--accent-now);font-weight:600;cursor:pointer}
  .panel{display:grid;gap:12px;margin-top:14px;padding:14px;border-radius:16px;background:var(--raise)}
  .chat{margin:0 0 16px;border:1px solid var(--line);border-radius:16px;overflow:hidden}
  .log{height:148px;overflow-y:auto;overscroll-behavior:contain;padding:12px;display:flex;flex-direction:column;gap:7px;font-size:15px}
  .log p{max-width:86%;padding:7px 12px;border-radius:14px;background:var(--raise);overflow-wrap:anywhere;white-space:pre-wrap;align-self:flex-start;border-end-start-radius:4px}
  .log .me{align-self:flex-end;background:var(--accent-now);color:var(--on-now);border-radius:14px;border-end-end-radius:4px}
  .log .note{align-self:center;background:none;color:var(--muted);font-size:13px;padding:2px 8px;text-align:center}
  .write{display:flex;border-top:1px solid var(--line)}
  .write input{border:0;border-radius:0;min-height:48px} .write input:focus-visible,.log:focus-visible{outline-offset:-3px;border-radius:13px}
  .write button{width:52px;flex:none;border:0;background:none;color:var(--accent-now);cursor:pointer;border-radius:0 0 15px 0}
  .write button:focus-visible{outline-offset:-4px} .write button:disabled{color:var(--field);cursor:default}
  .net{margin-top:14px;font-size:14px;color:var(--muted)}
  .net summary{display:flex;align-items:center;gap:9px;cursor:pointer;list-style:none;border-radius:8px;min-height:28px}
  .net summary::-webkit-details-marker{display:none} .net summary b{font-weight:600;color:var(--ink)}
  .net summary::after{content:"";width:7px;height:7px;margin-inline-start:auto;margin-inline-end:4px;border:solid;border-width:0 2px 2px 0;transform:rotate(45deg) translate(-2px,-2px)}
  .net[open] summary::after{transform:rotate(-135deg) translate(-2px,-2px)}
  .wave{display:flex;align-items:flex-end;gap:3px;height:16px} .wave i{width:4px;border-radius:2px;background:var(--line)}
  .wave i:nth-child(1){height:6px}.wave i:nth-child(2){height:11px}.wave i:nth-child(3){height:16px}
  [data-q=good] i,[data-q=fair] i:nth-child(-n+2){background:var(--accent-now)} [data-q=fair] i:nth-child(-n+2){background:var(--warn)} [data-q=poor] i:first-child{background:var(--danger)}
  .net dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(88px,1fr));gap:10px;padding:10px 0 2px}
  .net dt{font-size:12px} .net dd{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
  @media (prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
  @media (forced-colors:active){.track div,.bars b,.dot,.wave i{background:CanvasText}.track{border:1px solid}.main,.side{border:1px solid!important}}
  @media (max-width:480px){.card{padding:16px} .stage{padding:6px 0 14px} .orb{width:84px;height:84px;margin-bottom:20px} .bars{height:36px}}
`;

// el('p.status', {attributes}, ...children). Text only, never markup.
function el(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) node[key] = value;
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// Constructed style sheets pass a Content-Security-Policy without 'unsafe-inline'.
function addStyles(shadow) {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    shadow.adoptedStyleSheets = [sheet];
  } catch (err) {
    shadow.append(el('style', null, CSS));
  }
}

function clock(ms) {
  const total = Math.floor(ms / 1000);
  const parts = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return (parts[0] ? parts : parts.slice(1)).map((n) => String(n).padStart(2, '0')).join(':');
}

const show = (node, visible) => { node.hidden = !visible; };
const BUSY = ['VALIDATING', 'CONNECTING'];
