import { hash } from 'node:crypto';

/**
 * 64 bits of a text's SHA-256, as two unsigned 32-bit halves. Whether a payload has changed is decided by it, so that a collision would
 * lose an update: a hash that nobody can aim at, though a weaker one would be quicker (0.5 against 0.3 µs for 200 characters).
 */
export function hash64(text: string): readonly [number, number] {
  if (text === NO_LABELS) return HASH_OF_NO_LABELS;
  return hashed(text);
}

const NO_LABELS = '{}';
const HASH_OF_NO_LABELS = hashed(NO_LABELS);

function hashed(text: string): readonly [number, number] {
  const hex = hash('sha256', text);
  return [parseInt(hex.slice(0, 8), 16), parseInt(hex.slice(8, 16), 16)];
}
