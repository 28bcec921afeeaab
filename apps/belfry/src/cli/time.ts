/** Reading and writing instants and lengths of time, for people. */

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
];

const DURATION = /^(\d+(?:\.\d+)?(?:ms|[smhdw]))+$/;
const UNIT_MS: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `90s`, `1h30m`, `500ms`, `2d` in ms; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const compact = text.trim().toLowerCase();
  if (!DURATION.test(compact)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of compact.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    ms += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return Number.isFinite(ms) ? Math.round(ms) : undefined;
}

const INSTANT = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$/i;

/** An instant in ms: RFC 3339, or without an offset in this machine's zone (UTC if asked), or ms since 1970; undefined if it is none. */
export function parseInstant(text: string, utc: boolean): number | undefined {
  const trimmed = text.trim();
  if (/^\d{9,15}$/.test(trimmed)) return Number(trimmed);
  const match = INSTANT.exec(trimmed);
  if (!match) return undefined;
  const [, date, time = '00:00', offset = utc ? 'Z' : ''] = match;
  const zone = /^[+-]\d{4}$/.test(offset) ? `${offset.slice(0, 3)}:${offset.slice(3)}` : offset.toUpperCase();
  const ms = Date.parse(`${date}T${time}${zone}`);
  if (Number.isNaN(ms)) return undefined;
  // `Date` turns 30 February into 2 March; say so instead.
  const day = Date.parse(`${date}T00:00Z`);
  return new Date(day).toISOString().startsWith(date as string) ? ms : undefined;
}

/** `12 ms`, `1.25 s`, `4m 3s`, `3h 2m`, `5d 4h`. */
export function duration(ms: number): string {
  const sign = ms < 0 ? '-' : '';
  const size = Math.abs(Math.round(ms));
  if (size < 1_000) return `${sign}${size} ms`;
  if (size < 60_000) return `${sign}${Number((size / 1_000).toFixed(2))} s`;
  return sign + coarse(size, 2).join(' ');
}

function coarse(ms: number, parts: number): string[] {
  const said: string[] = [];
  let left = ms;
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(left / unitMs);
    left -= count * unitMs;
    if (count > 0) said.push(`${count}${unit}`);
    else if (said.length > 0) break;
    if (said.length === parts) break;
  }
  return said;
}

/** `in 4m`, `3h ago`, `now`. */
export function relative(ms: number, now: number): string {
  const apart = ms - now;
  const said = coarse(Math.abs(apart), 1)[0];
  if (said === undefined) return 'now';
  return apart > 0 ? `in ${said}` : `${said} ago`;
}

const two = (n: number) => String(n).padStart(2, '0');

/** How instants are written: in this machine's zone, or in UTC. */
export interface Clock {
  readonly utc: boolean;
  /** Name of the zone that is shown. */
  readonly zone: string;
}

export function clockFor(utc: boolean): Clock {
  const local = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return utc ? { utc: true, zone: 'UTC' } : { utc: local === 'UTC', zone: local };
}

/** `2026-11-24 14:44:39`, with `.123` if asked. */
export function instant(ms: number, clock: Clock, withMs = false): string {
  const d = new Date(ms);
  if (Number.isNaN(d.getTime())) return '?';
  const parts = clock.utc
    ? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()]
    : [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()];
  const [y, mo, da, h, mi, s] = parts as [number, number, number, number, number, number];
  const fraction = withMs ? `.${String(d.getUTCMilliseconds()).padStart(3, '0')}` : '';
  return `${y}-${two(mo)}-${two(da)} ${two(h)}:${two(mi)}:${two(s)}${fraction}`;
}

/** `2026-11-24 14:44:39 (in 4m)`; a dash for none. */
export function instantAndDistance(iso: string | undefined, clock: Clock, now: number): string {
  if (iso === undefined) return '-';
  const ms = Date.parse(iso);
  return `${instant(ms, clock)} (${relative(ms, now)})`;
}
