import { eachValue, FIELD_KINDS, items, readValue, refuse, type FieldText, type Item } from './cron-fields.ts';
import { CronRule, type CronSets } from './cron-rule.ts';
import { Refusal } from './refusal.ts';

const MAX_CRON_CHARS = 1_000;
const MACROS: ReadonlyMap<string, string> = new Map([
  ['@hourly', '0 * * * *'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@weekly', '0 0 * * 0'],
  ['@monthly', '0 0 1 * *'],
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
]);

export interface ParsedCron {
  readonly rule: CronRule;
  /** Upper case, single blanks, macros written out, `?` as `*`. */
  readonly canonical: string;
}

/** Reads a cron expression; throws a Refusal. Does not check whether it ever fires. */
export function parseCron(text: string): ParsedCron {
  if (text.length > MAX_CRON_CHARS) refuseAll(`longer than ${MAX_CRON_CHARS} characters`, MAX_CRON_CHARS);
  const expression = text.trim().startsWith('@') ? macro(text) : text;
  const fields = [...expression.matchAll(/\S+/g)].map((match): FieldText => ({
    text: match[0].toUpperCase(),
    position: match.index,
  }));
  checkCount(fields, text);
  const [second, minute, hour, day, month, weekday] = (
    fields.length === 6 ? fields : [{ text: '0', position: 0 }, ...fields]
  ) as [FieldText, FieldText, FieldText, FieldText, FieldText, FieldText];
  const sets: CronSets = {
    seconds: sixty('second', second),
    minutes: sixty('minute', minute),
    hours: bits('hour', hour, 0),
    months: bits('month', month, 1),
    ...days(day),
    ...weekdays(weekday),
    isInterval: [second, minute, hour].some((field) => /[*?/]/.test(field.text)),
  };
  return {
    rule: new CronRule(sets),
    canonical: fields.map((field) => (field.text === '?' ? '*' : field.text)).join(' '),
  };
}

function macro(text: string): string {
  const name = text.trim().toLowerCase();
  const known = MACROS.get(name);
  if (known !== undefined) return known;
  const position = text.indexOf('@');
  if (name.startsWith('@every'))
    return refuseAll('@every is not cron; use the field "every", as in {"every":"5m"}', position);
  if (name === '@reboot') return refuseAll('@reboot names no time', position);
  return refuseAll(`"${text.trim()}" is no macro; there are ${[...MACROS.keys()].join(', ')}`, position);
}

function checkCount(fields: readonly FieldText[], text: string): void {
  const [first] = fields;
  if (first === undefined) return refuseAll('the expression is empty; every minute is "* * * * *"', 0);
  if (/^(?:CRON_)?TZ=/.test(first.text)) refuseAll('the time zone goes into the field "timezone"', first.position);
  if (fields.length === 5 || fields.length === 6) return;
  const count = `${fields.length} field${fields.length === 1 ? '' : 's'}`;
  if (fields.length > 6)
    refuseAll(
      `${count}, but 6 at most are allowed (second first); years are not supported`,
      (fields[6] as FieldText).position,
    );
  const missing = fields.length === 4 ? `; did you mean "${text.trim()} *"?` : '';
  refuseAll(
    `${count}, but 5 (minute, hour, day of month, month, day of week) or 6 (second first) are needed${missing}`,
    text.length,
  );
}

function refuseAll(why: string, position: number): never {
  throw new Refusal('invalid_cron', 'cron', why, position);
}

function sixty(name: 'second' | 'minute', field: FieldText): readonly [number, number] {
  const words: [number, number] = [0, 0];
  for (const item of items(FIELD_KINDS[name], field))
    eachValue(FIELD_KINDS[name], item, (value) => {
      if (value < 32) words[0] |= 1 << value;
      else words[1] |= 1 << (value - 32);
    });
  return words;
}

function bits(name: 'hour' | 'month', field: FieldText, from: number): number {
  let set = 0;
  for (const item of items(FIELD_KINDS[name], field))
    eachValue(FIELD_KINDS[name], item, (value) => {
      set |= 1 << (value - from);
    });
  return set;
}

function days(
  field: FieldText,
): Pick<CronSets, 'days' | 'lastDays' | 'nearestWeekdays' | 'lastWeekday' | 'restrictsDay'> {
  const kind = FIELD_KINDS.day;
  const found = { days: 0, lastDays: 0, nearestWeekdays: 0, lastWeekday: false, restrictsDay: !isBare(field) };
  for (const item of items(kind, field)) {
    const before = /^L(?:-(\d+))?$/.exec(item.text);
    const near = /^(\d+)W$/.exec(item.text);
    if (before !== null) found.lastDays |= 1 << daysBeforeLast(item, before[1] ?? '0');
    else if (item.text === 'LW') found.lastWeekday = true;
    else if (near !== null) found.nearestWeekdays |= 1 << (readValue(kind, item, near[1] as string) - 1);
    else if (/^W(?:L|\d)/.test(item.text)) refuse(kind, item, `W comes last; did you mean ${item.text.slice(1)}W?`);
    else if (/\d-\d+W$|W-/.test(item.text)) refuse(kind, item, 'W goes with a single day, as in 15W');
    else if (item.text.includes('#')) refuse(kind, item, '# goes with the day of week, as in MON#2');
    else
      eachValue(kind, item, (day) => {
        found.days |= 1 << (day - 1);
      });
  }
  return found;
}

function daysBeforeLast(item: Item, text: string): number {
  const count = Number(text);
  return count <= 30
    ? count
    : refuse(FIELD_KINDS.day, item, 'no month is that long; L-30 is the first of a long month');
}

function weekdays(field: FieldText): Pick<CronSets, 'weekdays' | 'nthWeekdays' | 'lastWeekdays' | 'restrictsWeekday'> {
  const kind = FIELD_KINDS.weekday;
  const nth: number[] = [];
  let plain = 0;
  let last = 0;
  for (const item of items(kind, field)) {
    const nthOf = /^([^#]*)#(.*)$/.exec(item.text);
    const lastOf = /^([A-Z]{3}|\d+)L$/.exec(item.text);
    if (nthOf !== null) {
      const bit = 1 << (readValue(kind, item, nthOf[1] as string) % 7);
      if (!/^[1-5]$/.test(nthOf[2] as string)) refuse(kind, item, 'after # comes which one of the month, 1 to 5');
      const at = Number(nthOf[2]) - 1;
      while (nth.length <= at) nth.push(0);
      nth[at] = (nth[at] as number) | bit;
    } else if (lastOf !== null) {
      last |= 1 << (readValue(kind, item, lastOf[1] as string) % 7);
    } else if (item.text === 'L') {
      refuse(kind, item, 'L needs a day in front, as in 5L for the last Friday; for Saturday write SAT');
    } else {
      eachValue(kind, item, (day) => {
        plain |= 1 << (day % 7);
      });
    }
  }
  return { weekdays: plain, nthWeekdays: nth, lastWeekdays: last, restrictsWeekday: !isBare(field) };
}

function isBare(field: FieldText): boolean {
  return field.text === '*' || field.text === '?';
}
