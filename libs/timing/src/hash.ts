/** MurmurHash3 (x86, 32 bits) of the text's UTF-8, so that other languages can compute the same. Not for secrets. */
export function hash32(text: string, seed = 0): number {
  let hash = seed | 0;
  let word = 0;
  let bytes = 0;
  for (; bytes + 3 < text.length; bytes += 4) {
    const a = text.charCodeAt(bytes);
    const b = text.charCodeAt(bytes + 1);
    const c = text.charCodeAt(bytes + 2);
    const d = text.charCodeAt(bytes + 3);
    if ((a | b | c | d) >= 0x80) break;
    hash = mixWord(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  const add = (byte: number): void => {
    word |= byte << ((bytes & 3) * 8);
    bytes++;
    if ((bytes & 3) !== 0) return;
    hash = mixWord(hash, word);
    word = 0;
  };
  for (let at = bytes; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      add(unit);
      continue;
    }
    const point = text.codePointAt(at) as number;
    if (point > 0xffff) at++;
    addMultibyte(point, add);
  }
  if (word !== 0) hash ^= scramble(word);
  return finish(hash ^ bytes);
}

/** The same for two numbers (whole, or any doubles): a hash of the hash, without making a text. */
export function hashNumber(value: number, seed = 0): number {
  const low = value % 2 ** 32;
  const high = Math.floor(value / 2 ** 32);
  const part = value - Math.floor(value);
  let hash = mixWord(seed | 0, low | 0);
  hash = mixWord(hash, high | 0);
  if (part !== 0) hash = mixWord(hash, (part * 2 ** 32) | 0);
  return finish(hash ^ 8);
}

/** A 53-bit hash: a safe integer, for tables where 32 bits would collide. */
export function hash53(text: string, seed = 0): number {
  const low = hash32(text, seed);
  const high = hash32(text, low ^ 0x5bd1_e995) & 0x1f_ffff;
  return high * 2 ** 32 + low;
}

/** 32 bits that are a task's own: the last of its id (32 hex digits), which are those of a hash. */
export function seedOf(taskId: string): number {
  return parseInt(taskId.slice(24), 16);
}

/** A number in [0, 1) from a 32-bit hash. */
export function unit(hash: number): number {
  return (hash >>> 0) / 2 ** 32;
}

export interface Backoff {
  /** Failures so far, from 1. */
  readonly attempt: number;
  /** Delay after the first failure. */
  readonly initialMs: number;
  /** Growth per failure. */
  readonly factor: number;
  /** Ceiling of the delay. */
  readonly maxMs: number;
  /** Share of the delay that is spread, 0 to 1: with 0.2 the delay is between 80 % and 100 % of its full length. */
  readonly jitter: number;
  /** Whose delay it is: the same seed and attempt give the same delay, at every replay. */
  readonly seed: string | number;
}

/** The whole milliseconds to wait before the next attempt: `min(maxMs, initialMs × factor^(attempt − 1))`, less its jitter. */
export function backoffDelayMs({ attempt, initialMs, factor, maxMs, jitter, seed }: Backoff): number {
  const grown = initialMs === 0 ? 0 : initialMs * factor ** Math.max(0, attempt - 1);
  const full = Math.min(maxMs, grown);
  const hash = typeof seed === 'string' ? hash32(seed, attempt) : hashNumber(seed, attempt);
  return Math.round(full * (1 - jitter * unit(hash)));
}

function addMultibyte(point: number, add: (byte: number) => void): void {
  if (point < 0x800) {
    add(0xc0 | (point >> 6));
  } else {
    if (point < 0x1_0000) {
      add(0xe0 | (point >> 12));
    } else {
      add(0xf0 | (point >> 18));
      add(0x80 | ((point >> 12) & 0x3f));
    }
    add(0x80 | ((point >> 6) & 0x3f));
  }
  add(0x80 | (point & 0x3f));
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e_2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b87_3593);
}

function mixWord(hash: number, word: number): number {
  const mixed = hash ^ scramble(word);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe654_6b64) | 0;
}

function finish(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85eb_ca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
