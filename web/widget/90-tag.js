// SPDX-License-Identifier: Apache-2.0
// The script tag, and the names that a page sees.

const ATTRIBUTES = {
  middlewareUrl: 'text', campaignId: 'text', regionId: 'text', transportType: 'text', clientIdentifier: 'text', title: 'text',
  theme: 'text', codecPreference: 'list', iceTransportPolicy: 'text', formFields: 'json', dynamicVariables: 'json',
  metadata: 'json', audioConfig: 'json', audioConstraints: 'json', headers: 'json', iceServers: 'json', labels: 'json'
};

function tagOptions(data) {
  const options = {};
  for (const [name, kind] of Object.entries(ATTRIBUTES)) {
    if (data[name] === undefined) continue;
    if (kind === 'text') options[name] = data[name];
    else if (kind === 'list') options[name] = data[name].split(',').map((item) => item.trim());
    else options[name] = parseJson(data[name]);
    if (options[name] === null) console.error(`IqraWidget: data-${name} is not valid JSON`);
  }
  return options;
}

// data-container names the place; without it the widget stands where the tag stands.
function fromTag(tag) {
  const data = tag.dataset;
  const options = tagOptions(data);
  options.container = data.container && document.querySelector(data.container);
  if (!options.container) {
    if (data.container) console.error(`IqraWidget: no element matches ${data.container}`);
    options.container = el('div');
    tag.parentNode === document.head ? document.body.append(options.container) : tag.after(options.container);
  }
  root[data.name || 'iqraWidget'] = new IqraWidget(options);
}

const tag = root.document && document.currentScript;
const scriptOrigin = tag && tag.src ? new URL(tag.src, location.href).origin : root.location ? location.origin : '';

root.IqraWidget = IqraWidget;
// The official widget's entry point and its default transport, so that a page changes only its script tag.
root.VoiceAiWidget = { init: (options) => new IqraWidget(Object.assign({ transportType: WEBSOCKET }, options)) };
if (typeof module === 'object' && module.exports) module.exports = IqraWidget;
if (tag && tag.dataset.campaignId) {
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => fromTag(tag));
  else fromTag(tag);
}
