import { Refusal } from './refusal.ts';

/** What one field of a cron expression may hold. */
export interface FieldKind {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** The last value of `*` and of open steps: 6 for the day of week, where 7 is another word for 0. */
  readonly last: number;
  /** Names, from `min` on. */
  readonly names: readonly string[];
}

const MONTHS = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ');
const WEEKDAYS = 'SUN MON TUE WED THU FRI SAT'.split(' ');

export const FIELD_KINDS = {
  second: { name: 'second', min: 0, max: 59, last: 59, names: [] },
  minute: { name: 'minute', min: 0, max: 59, last: 59, names: [] },
  hour: { name: 'hour', min: 0, max: 23, last: 23, names: [] },
  day: { name: 'day of month', min: 1, max: 31, last: 31, names: [] },
  month: { name: 'month', min: 1, max: 12, last: 12, names: MONTHS },
  weekday: { name: 'day of week', min: 0, max: 7, last: 6, names: WEEKDAYS },
} as const satisfies Record<string, FieldKind>;

/** A field's text, upper case, and where it stands in the expression. */
export interface FieldText {
  readonly text: string;
  readonly position: number;
}

/** One item of a list. */
export interface Item {
  readonly text: string;
  readonly position: number;
}

export function refuse(kind: FieldKind, { text, position }: Item, why: string): never {
  throw new Refusal('invalid_cron', 'cron', `${kind.name} "${text}" at position ${position}: ${why}`, position);
}

/** What `?` in the place of the month most likely is. */
const MISPLACED =
  '? stands for a day; of six fields the first is seconds here. EventBridge has minutes first and a year last: leave out the year';

/** The items of a list. */
export function items(kind: FieldKind, field: FieldText): Item[] {
  let { position } = field;
  return field.text.split(',').map((text) => {
    const item = { text, position };
    position += text.length + 1;
    if (text === '') refuse(kind, field, 'an item of the list is empty; remove the comma');
    if (text.includes('?') && field.text !== '?') refuse(kind, field, '? stands alone in its field');
    if (text === '?' && kind.name === FIELD_KINDS.month.name) refuse(kind, field, MISPLACED);
    return item;
  });
}

/** Calls `add` with each value of `*`, `a`, `a-b` and any of these with `/step`. */
export function eachValue(kind: FieldKind, item: Item, add: (value: number) => void): void {
  const [base = '', step, more] = item.text.split('/');
  if (more !== undefined) refuse(kind, item, 'more than one step');
  const by = step === undefined ? 1 : readStep(kind, item, step);
  let first: number = kind.min;
  let last: number = kind.last;
  if (base !== '*' && base !== '?') {
    const [from = '', to, beyond] = base.split('-');
    if (beyond !== undefined || from === '' || to === '')
      refuse(kind, item, 'a range is two values with one hyphen, as in 1-5');
    first = readValue(kind, item, from);
    if (to !== undefined) last = readValue(kind, item, to);
    else if (step === undefined) last = first;
    if (first > last && to === undefined) last = first;
    if (first > last)
      refuse(kind, item, `the range is reversed; did you mean ${turnedAround(kind, from, first, last, by)}?`);
  }
  for (let value = first; value <= last; value += by) add(value);
}

/** A number or a name. `within` is the item it stands in. */
export function readValue(kind: FieldKind, within: Item, text: string): number {
  if (/^\d+$/.test(text)) {
    const value = Number(text);
    if (value < kind.min || value > kind.max) refuse(kind, within, `${text} is not within ${kind.min} to ${kind.max}`);
    return value;
  }
  const at = kind.names.indexOf(text);
  if (at >= 0) return kind.min + at;
  return refuse(
    kind,
    within,
    `${text === '' ? 'a value is missing' : `"${text}" is no ${kind.name}`}${guess(kind, text)}`,
  );
}

function readStep(kind: FieldKind, item: Item, text: string): number {
  const size = kind.last - kind.min + 1;
  if (!/^\d+$/.test(text)) refuse(kind, item, 'a step is a whole number, as in */5');
  const step = Number(text);
  if (step === 0) refuse(kind, item, 'a step of 0 never moves on');
  if (step > size)
    refuse(
      kind,
      item,
      `a step of ${text} is longer than the field's ${size} values; for a longer interval use "every"`,
    );
  return step;
}

/** The values that a reversed range was to mean, e.g. `22-23,0-2`. */
function turnedAround(kind: FieldKind, from: string, first: number, last: number, by: number): string {
  const word = (value: number): string =>
    /^\d/.test(from) ? String(value) : (kind.names[value - kind.min] ?? String(value));
  if (by > 1) {
    const values: string[] = [];
    const size = kind.last - kind.min + 1;
    for (let value = first; value <= last + size; value += by)
      values.push(word(value > kind.last ? value - size : value));
    return values.join(',');
  }
  const span = (a: number, b: number): string => (a === b ? word(a) : `${word(a)}-${word(b)}`);
  // A 7 is a Sunday, as 0 is.
  return first > kind.last ? span(kind.min, last) : `${span(first, kind.last)},${span(kind.min, last)}`;
}

function guess(kind: FieldKind, text: string): string {
  const found = text.match(/[A-Z]{3}/g)?.filter((name) => kind.names.includes(name)) ?? [];
  const start = text.slice(0, 3);
  if (/^[A-Z]+$/.test(text) && found.length > 1 && found.join('') === text)
    return `; did you mean ${found.join(',')} or ${found.join('-')}?`;
  if (kind.names.includes(start)) return `; did you mean ${start}?`;
  if (found.length === 1) return `; did you mean ${found[0]}?`;
  if (MONTHS.includes(text) || WEEKDAYS.includes(text))
    return `; it is a ${MONTHS.includes(text) ? 'month' : 'day of week'}, so a field may be missing or misplaced`;
  if (/[LW#]/.test(text)) return '; L, W and # go with days only, as in L, L-3, LW, 15W, 5L and MON#2';
  return '';
}
