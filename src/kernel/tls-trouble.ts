import { causes } from './describe-error.js';

/** Node's and OpenSSL's codes for what goes wrong between two sides of TLS, in words; "it" is the server. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [
    /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?))$/,
    'no CA in `ca` has signed its certificate',
  ],
  [/^CERT_HAS_EXPIRED$/, 'its certificate has expired'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'its certificate is not for this host'],
  [/^ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED$/, 'it wants a client certificate (`cert` and `key`)'],
  // TLS 1.2 has no word of its own for a client certificate that is missing.
  [
    /^ERR_SSL_SSL(V3|\/TLS)_ALERT_HANDSHAKE_FAILURE$/,
    'it refuses the handshake, perhaps for want of a client certificate (`cert` and `key`)',
  ],
  [/_ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(UNKNOWN|REVOKED))$/, 'it refuses the client certificate (`cert`)'],
  [/_ALERT_CERTIFICATE_EXPIRED$/, 'the client certificate (`cert`) has expired'],
  [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/, 'it does not speak TLS on this port'],
];

/** What TLS has against a connection, with the options of node:tls that help; undefined when it is another matter. */
export function tlsTrouble(error: unknown): string | undefined {
  for (const cause of causes(error)) {
    const code: unknown = Reflect.get(cause, 'code');
    const found = typeof code === 'string' ? WORDS.find(([codes]) => codes.test(code)) : undefined;
    if (found) return found[1];
  }
  return undefined;
}
