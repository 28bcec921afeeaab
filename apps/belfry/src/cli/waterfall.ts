import type { AttemptView, ExecutionView } from '@belfry/protocol';

import { stateText } from './describe-executions.ts';
import type { Paint } from './output.ts';
import { cut, fields, printable } from './table.ts';
import { type Clock, duration, instant } from './time.ts';

/** One hop: the time from the hop before to this one. */
interface Hop {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Nobody works on the fire meanwhile: it waits for its time, its retry or a checkpoint. Long waits are cut in the drawing. */
  readonly waiting: boolean;
}

interface Section {
  readonly title: string;
  readonly hops: readonly Hop[];
}

export interface TraceStyle {
  readonly columns: number;
  readonly paint: Paint;
  readonly clock: Clock;
}

const NAME_WIDTH = 14;
const OFFSET_WIDTH = 11;
const TOOK_WIDTH = 10;
const NARROWEST_BAR = 10;
const WIDEST_BAR = 100;

/** A fire's hops as lines for a terminal; offsets are from `scheduledAt`. */
export function waterfall(view: ExecutionView, style: TraceStyle): string[] {
  const scheduledAt = Date.parse(view.scheduledAt);
  const sections = sectionsOf(view, scheduledAt);
  const room = style.columns - NAME_WIDTH - OFFSET_WIDTH - TOOK_WIDTH - 3;
  const width = Math.min(WIDEST_BAR, Math.max(NARROWEST_BAR, room));
  const bars = layOut(
    sections.flatMap((section) => section.hops),
    width,
  );
  const lines = [...heading(view, style), ''];
  let next = 0;
  for (const section of sections) {
    if (section.title !== '') lines.push(style.paint('bold', section.title));
    for (const hop of section.hops) lines.push(row(hop, bars[next++] as Bar, scheduledAt, style.paint));
  }
  if (bars.some((bar) => bar.shortened)) lines.push('', style.paint('dim', '╌ a wait, drawn shorter than it was'));
  return lines;
}

function heading(view: ExecutionView, { clock, columns, paint }: TraceStyle): string[] {
  const said = (text: string | undefined) =>
    text === undefined ? undefined : cut(printable(text), Math.max(20, columns - 11));
  return fields(
    [
      ['execution', view.execution],
      ['state', stateText(view.state, paint)],
      ['handler', `${view.handler} on queue ${view.queue}, namespace ${view.namespace}`],
      ['scheduled', `${instant(Date.parse(view.scheduledAt), clock, true)} ${clock.zone}`],
      ['lateness', view.latenessMs === undefined ? undefined : duration(view.latenessMs)],
      ['result', view.result === undefined || view.result === null ? undefined : said(JSON.stringify(view.result))],
      ['error', said(view.error)],
      ['epoch', view.epoch === undefined ? undefined : String(view.epoch)],
      ['trace id', view.traceId],
    ],
    paint,
  );
}

function sectionsOf(view: ExecutionView, scheduledAt: number): Section[] {
  const first: Hop[] = [];
  const createdAt = view.createdAt === undefined ? undefined : Date.parse(view.createdAt);
  if (createdAt !== undefined) first.push({ name: 'created', from: createdAt, to: createdAt, waiting: true });
  first.push({ name: 'scheduled', from: createdAt ?? scheduledAt, to: scheduledAt, waiting: true });
  const sections: Section[] = [{ title: '', hops: first }];
  let at = scheduledAt;
  for (const attempt of view.attempts) {
    const hops = hopsOf(attempt, at);
    at = hops.at(-1)?.to ?? at;
    sections.push({ title: attemptTitle(attempt), hops });
  }
  if (view.checkpointedAt !== undefined) {
    const to = Date.parse(view.checkpointedAt);
    sections.push({ title: 'stored', hops: [{ name: 'checkpointed', from: at, to, waiting: true }] });
  }
  return sections;
}

function hopsOf(attempt: AttemptView, from: number): Hop[] {
  const retry = attempt.attempt > 1;
  const stations: readonly (readonly [string, string | undefined, boolean])[] = [
    ['dispatched', attempt.dispatchedAt, retry],
    ['delivered', attempt.deliveredAt, false],
    ['started', attempt.startedAt, false],
    ['finished', attempt.finishedAt, false],
    ['accepted', attempt.acceptedAt, false],
  ];
  const hops: Hop[] = [];
  let at = from;
  for (const [name, iso, waiting] of stations) {
    if (iso === undefined) continue;
    const to = Date.parse(iso);
    hops.push({ name, from: at, to, waiting });
    at = to;
  }
  return hops;
}

function attemptTitle(attempt: AttemptView): string {
  const worker = attempt.worker === undefined ? '' : ` by ${attempt.worker}`;
  const error = attempt.error === undefined ? '' : `: ${printable(attempt.error)}`;
  return `attempt ${attempt.attempt}, ${attempt.outcome}${worker}${error}`;
}

interface Bar {
  readonly start: number;
  readonly length: number;
  readonly shortened: boolean;
  readonly width: number;
}

/**
 * Places hops one after another, to scale, except that a wait takes no more than half of the room of all the work:
 * else a fire of 20 ms of a task made yesterday would be one dot. Clocks of two machines may differ, so a hop can seem
 * to end before it began: it is drawn without length.
 */
function layOut(hops: readonly Hop[], width: number): Bar[] {
  const lengthOf = (hop: Hop) => Math.max(0, hop.to - hop.from);
  const work = hops.reduce((sum, hop) => sum + (hop.waiting ? 0 : lengthOf(hop)), 0);
  const longestWait = Math.max(1, work / 2);
  const drawn = hops.map((hop) => (hop.waiting ? Math.min(lengthOf(hop), longestWait) : lengthOf(hop)));
  const total = Math.max(
    1,
    drawn.reduce((sum, length) => sum + length, 0),
  );
  let at = 0;
  return hops.map((hop, i) => {
    const start = Math.min(width - 1, Math.round((at / total) * width));
    at += drawn[i] as number;
    const end = Math.round((at / total) * width);
    return { start, length: Math.max(0, end - start), shortened: (drawn[i] as number) < lengthOf(hop), width };
  });
}

function row(hop: Hop, bar: Bar, scheduledAt: number, paint: Paint): string {
  const offset = hop.to - scheduledAt;
  const offsetText = `${offset < 0 ? '' : '+'}${duration(offset)}`;
  const took = hop.to === hop.from ? '' : duration(hop.to - hop.from);
  const drawn = drawBar(hop, bar);
  const name = `  ${hop.name}`.padEnd(NAME_WIDTH);
  return `${name} ${offsetText.padStart(OFFSET_WIDTH)} ${' '.repeat(bar.start)}${paint(hop.waiting ? 'dim' : 'cyan', drawn)}${' '.repeat(
    bar.width - bar.start - [...drawn].length,
  )} ${paint('dim', took)}`.trimEnd();
}

function drawBar(hop: Hop, bar: Bar): string {
  if (bar.length === 0) return '▏';
  const glyph = !hop.waiting ? '█' : bar.shortened ? '╌' : '─';
  return glyph.repeat(bar.length);
}
