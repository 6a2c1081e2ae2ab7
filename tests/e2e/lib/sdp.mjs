// SPDX-License-Identifier: Apache-2.0
// Offers written by hand, for what no browser would send.
const FINGERPRINT = Array.from({ length: 32 }, (_, i) => (i * 7 + 1).toString(16).padStart(2, '0').toUpperCase()).join(':');

const HEAD = ['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0', 'a=msid-semantic: WMS *'];
const TRANSPORT = ['c=IN IP4 0.0.0.0', 'a=ice-ufrag:abcd', 'a=ice-pwd:abcdefghijklmnopqrstuvwx', 'a=ice-options:trickle', `a=fingerprint:sha-256 ${FINGERPRINT}`, 'a=setup:actpass', 'a=mid:0'];

const text = (lines) => `${lines.join('\r\n')}\r\n`;

export const audioOffer = ({ formats = '111', maps = ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1'] } = {}) =>
  text([...HEAD, `m=audio 9 UDP/TLS/RTP/SAVPF ${formats}`, ...TRANSPORT, 'a=sendrecv', 'a=rtcp-mux', ...maps]);

export const noAudioOffer = () => text([...HEAD, 'm=video 9 UDP/TLS/RTP/SAVPF 96', ...TRANSPORT, 'a=sendrecv', 'a=rtcp-mux', 'a=rtpmap:96 VP8/90000']);

export const noCommonCodecOffer = () => audioOffer({ formats: '100', maps: ['a=rtpmap:100 L24/96000/2'] });
