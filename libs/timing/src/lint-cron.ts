import { eachValue, FIELD_KINDS, items, type FieldText } from './cron-fields.ts';
import { monthLength } from './civil.ts';
import type { LintWarning } from './lint.ts';

type FieldName = keyof typeof FIELD_KINDS;
type Fields = { readonly [K in FieldName]: FieldText };

/** Steps in these begin again with each minute, hour, day and month. */
const STEPS = { second: ['seconds', 'minute'], minute: ['minutes', 'hour'], hour: ['hours', 'day'] } as const;
const LEAP_YEAR = 2000;

/** `text` is canonical. `spread`: something moves its fires away from full hours. */
export function lintCron(text: string, spread: boolean): LintWarning[] {
  const fields = fieldsOf(text);
  return [
    ...dayOrWeekday(fields),
    ...rareDays(fields),
    ...unevenSteps(fields),
    ...subMinute(fields),
    ...(spread ? [] : everyMinute(fields)),
    ...(spread ? [] : pileUps(fields)),
  ];
}

function fieldsOf(text: string): Fields {
  const given = [...text.matchAll(/\S+/g)].map((match): FieldText => ({ text: match[0], position: match.index }));
  const all = given.length === 6 ? given : [{ text: '0', position: 0 }, ...given];
  const [second, minute, hour, day, month, weekday] = all as [
    FieldText,
    FieldText,
    FieldText,
    FieldText,
    FieldText,
    FieldText,
  ];
  return { second, minute, hour, day, month, weekday };
}

/** Undefined when a word (L, W, #) says more than values. */
function valuesOf(name: FieldName, field: FieldText): ReadonlySet<number> | undefined {
  if (/[L#]|\dW/.test(field.text.replaceAll(/[A-Z]{3}/g, ''))) return undefined;
  const found = new Set<number>();
  for (const item of items(FIELD_KINDS[name], field)) eachValue(FIELD_KINDS[name], item, (value) => found.add(value));
  return found;
}

function dayOrWeekday({ day, weekday }: Fields): LintWarning[] {
  if (day.text === '*' || weekday.text === '*') return [];
  const message = `day of month "${day.text}" and day of week "${weekday.text}" are both given: it runs on days that match either, not both`;
  return [{ code: 'day_or_weekday', path: 'cron', message, position: day.position }];
}

function rareDays({ day, month, weekday }: Fields): LintWarning[] {
  const days = valuesOf('day', day);
  const months = valuesOf('month', month);
  if (days === undefined || months === undefined || weekday.text !== '*') return [];
  const first = Math.min(...days);
  if (first <= 28) return [];
  if (first === 29 && months.size === 1 && months.has(2)) {
    const message = 'the 29th of February comes every four years; "L" is the last day of a month';
    return [{ code: 'leap_day', path: 'cron', message, position: day.position }];
  }
  const lacking = [...months].sort((a, b) => a - b).filter((one) => monthLength(LEAP_YEAR, one) < first);
  const inLeapYears = first === 29 && months.has(2);
  if (lacking.length === 0 && !inLeapYears) return [];
  const names = lacking.map((one) => FIELD_KINDS.month.names[one - 1]).join(', ');
  const message = inLeapYears
    ? 'February has a 29th in leap years only; "L" is the last day of a month'
    : `it leaves out ${names}, which have no ${first}th; "L" is the last day of a month`.replace('31th', '31st');
  return [{ code: 'month_lacks_day', path: 'cron', message, position: day.position }];
}

function unevenSteps(fields: Fields): LintWarning[] {
  const warnings: LintWarning[] = [];
  for (const name of ['second', 'minute', 'hour'] as const) {
    const step = /^\*\/(\d+)$/.exec(fields[name].text);
    const { max } = FIELD_KINDS[name];
    const by = Number(step?.[1]);
    if (step === null || (max + 1) % by === 0) continue;
    const [unit, whole] = STEPS[name];
    const last = max + 1 - Math.floor(max / by) * by;
    const message = `every ${by} ${unit} begins again with each ${whole}: the last interval has ${last}; "every" is even`;
    warnings.push({ code: 'uneven_step', path: 'cron', message, position: fields[name].position });
  }
  const { day } = fields;
  const days = /^(?:\*|1)\/(\d+)$/.exec(day.text);
  if (days !== null && Number(days[1]) > 1) {
    const message = `every ${days[1]} days begins again with each month; "every" does not`;
    warnings.push({ code: 'uneven_step', path: 'cron', message, position: day.position });
  }
  return warnings;
}

function subMinute({ second }: Fields): LintWarning[] {
  const count = valuesOf('second', second)?.size ?? 1;
  if (count === 1) return [];
  const message = `the first of six fields is the second: it runs ${count} times in each minute`;
  return [{ code: 'sub_minute', path: 'cron', message, position: second.position }];
}

function everyMinute({ minute, hour }: Fields): LintWarning[] {
  if (minute.text !== '*' || !/^\d+$/.test(hour.text)) return [];
  const message = `it runs at each minute of hour ${hour.text}, 60 times; once is "0 ${hour.text}"`;
  return [{ code: 'every_minute', path: 'cron', message, position: minute.position }];
}

function pileUps({ second, minute, hour }: Fields): LintWarning[] {
  const is = (field: FieldText, value: string): boolean => Number(field.text) === Number(value);
  if (!is(second, '0') || !is(minute, '0')) return [];
  if (is(hour, '0')) {
    const message = 'much is due at midnight; "jitter" or "between" takes it out of the crowd';
    return [{ code: 'midnight_pile_up', path: 'cron', message, position: minute.position }];
  }
  if (!hour.text.startsWith('*')) return [];
  const message = 'much is due at full hours; another minute, or "jitter", takes it out of the crowd';
  return [{ code: 'top_of_hour', path: 'cron', message, position: minute.position }];
}
