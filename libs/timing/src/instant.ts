import { dayNumber, MAX_INSTANT_MS, monthLength } from './civil.ts';

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?([Zz]|([+-])(\d\d):(\d\d))$/;

export type InstantReading =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly message: string; readonly position?: number };

/**
 * Reads an instant: RFC 3339 with `Z` or an offset, or whole milliseconds since 1970; from 1970 to the year 9999.
 * Fractions of a millisecond are rounded up, so that nothing is early; or down, for an instant that something is to be strictly after.
 */
export function readInstant(value: unknown, rounding: 'up' | 'down' = 'up'): InstantReading {
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return no('milliseconds since 1970 are a whole number');
    return within(value);
  }
  if (typeof value !== 'string') return no('an RFC 3339 text or whole milliseconds since 1970 are needed');
  const match = RFC_3339.exec(value);
  if (match === null) return no(...whyUnreadable(value));
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12) return no(`there is no month ${match[2]}`, 5);
  if (day < 1 || day > monthLength(year, month)) return no(`${match[1]}-${match[2]} has no day ${match[3]}`, 8);
  if (hour > 23) return no(`there is no hour ${match[4]}; midnight is 00:00 of the next day`, 11);
  if (minute > 59) return no(`there is no minute ${match[5]}`, 14);
  if (second === 60) return no('leap seconds are not counted; write 00 of the next minute', 17);
  if (second > 59) return no(`there is no second ${match[6]}`, 17);
  const offset = readOffset(match);
  if (offset === undefined) return no(`there is no offset ${match[8]}`, value.length - 6);
  const seconds = dayNumber(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset * 60;
  return within(seconds * 1_000 + fraction(match[7] ?? '', rounding));
}

function readOffset(match: RegExpExecArray): number | undefined {
  if (match[9] === undefined) return 0;
  const hours = Number(match[10]);
  const minutes = Number(match[11]);
  if (hours > 23 || minutes > 59) return undefined;
  return (match[9] === '-' ? -1 : 1) * (hours * 60 + minutes);
}

function fraction(digits: string, rounding: 'up' | 'down'): number {
  const whole = Number(digits.slice(0, 3).padEnd(3, '0'));
  return rounding === 'up' && /[1-9]/.test(digits.slice(3)) ? whole + 1 : whole;
}

function within(ms: number): InstantReading {
  if (ms < 0) return no('it lies before 1970');
  if (ms > MAX_INSTANT_MS) return no('it lies beyond the year 9999; perhaps these are not milliseconds');
  return { ok: true, ms };
}

function no(message: string, position?: number): InstantReading {
  return { ok: false, message, ...(position === undefined ? {} : { position }) };
}

function whyUnreadable(text: string): [string, number?] {
  const example = 'as in 2030-01-31T09:00:00Z';
  if (text.trim() === '') return [`it is empty; an instant is needed, ${example}`, 0];
  if (/^\d+$/.test(text)) return ['milliseconds since 1970 are a number, not a text; remove the quotes', 0];
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return [`the time is missing; did you mean ${text}T00:00:00Z?`, text.length];
  if (/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?:[Zz]|[+-]\d\d:\d\d)?$/.test(text))
    return [`the seconds are missing, ${example}`, 16];
  if (/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?$/.test(text))
    return [`the offset is missing; did you mean ${text}Z?`, text.length];
  if (/[+-]\d{2}(?:\d{2})?$/.test(text))
    return [`an offset has hours and minutes with a colon, as in +02:00`, text.search(/[+-]\d+$/)];
  return [`it is no RFC 3339 instant, ${example}`, 0];
}
