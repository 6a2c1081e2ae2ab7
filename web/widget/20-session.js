// SPDX-License-Identifier: Apache-2.0
// The microphone, and the request for a session.

const MIC_ERRORS = {
  NotFoundError: 'MIC_NOT_FOUND', OverconstrainedError: 'MIC_NOT_FOUND', DevicesNotFoundError: 'MIC_NOT_FOUND',
  NotAllowedError: 'MIC_DENIED', SecurityError: 'MIC_DENIED', PermissionDeniedError: 'MIC_DENIED',
  NotReadableError: 'MIC_BUSY', TrackStartError: 'MIC_BUSY', AbortError: 'MIC_BUSY'
};

async function openMicrophone(options, deviceId) {
  if (!root.isSecureContext) throw new CallError('INSECURE');
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) throw new CallError('UNSUPPORTED');
  const audio = Object.assign(
    { echoCancellation: true, noiseSuppression: true, autoGainControl: true }, options.audioConstraints);
  if (deviceId) audio.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (err) {
    throw new CallError(MIC_ERRORS[err.name] || 'MIC_FAILED');
  }
}

// ---- session request

function duration(seconds) {
  if (seconds < 90) return `${seconds} second${seconds === 1 ? '' : 's'}`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

function retryText(response) {
  const header = response.headers.get('Retry-After');
  if (!header) return '';
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return seconds > 0 ? ` Try again in ${duration(seconds)}.` : '';
}

const HTTP_ERRORS = { 400: 'BAD_REQUEST', 401: 'FORBIDDEN', 403: 'FORBIDDEN', 404: 'BAD_REQUEST', 413: 'BAD_REQUEST',
  429: 'RATE_LIMITED', 502: 'UNAVAILABLE', 503: 'UNAVAILABLE', 504: 'UNAVAILABLE' };

function httpError(response, body) {
  const code = HTTP_ERRORS[response.status] || (response.status >= 500 ? 'SERVER_ERROR' : 'BAD_REQUEST');
  let detail = body && body.message;
  if (!detail && body && body.errors) detail = Object.values(body.errors).flat().join(' ');
  if (!detail && body && body.title) detail = body.title;
  const base = ERROR_TEXT[code];
  const text = !detail ? base : code === 'FORBIDDEN' || code === 'UNAVAILABLE' ? `${base} ${detail}` : detail;
  return Object.assign(new CallError(code, text + retryText(response)), { status: response.status });
}

async function requestSession(options, body, signal) {
  let response;
  try {
    response = await fetch(`${options.middlewareUrl}/api/session/request`, {
      method: 'POST', signal, body: JSON.stringify(body),
      headers: Object.assign({}, options.headers, { 'Content-Type': 'application/json' })
    });
  } catch (err) {
    throw new CallError('NETWORK');
  }
  const data = parseJson(await response.text().catch(() => ''));
  if (response.status === 200 && data && data.webSocketUrl) return data;
  if (response.status === 202 && data && data.uniqueRequestId) return Object.assign({ queued: true }, data);
  throw response.ok ? new CallError('BAD_RESPONSE') : httpError(response, data);
}
