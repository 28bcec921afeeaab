import type { UnwatchedRow } from '@belfry/ports';

/** Instants in (fromMs, untilMs], ms since 1970. */
export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** When nobody watched a shard, as its checkpoints say, and as far as those before them do not say otherwise. */
export class UnwatchedSpans {
  readonly #watchedTo = new Map<number, number>();
  readonly #spans = new Map<number, Span[]>();

  /** A checkpoint says that its shard was watched up to here, but for the gaps that were found. */
  watched(shard: number, watermark: number): void {
    this.#watchedTo.set(shard, watermark);
  }

  /** The part of a gap that was found in which nobody did watch. */
  found(shard: number, { fromMs, untilMs }: UnwatchedRow): Span {
    const watchedTo = this.#watchedTo.get(shard) ?? 0;
    const spans = this.#spans.get(shard) ?? [];
    // A node that died within a gap leaves it to the next one.
    const before = spans.filter((span) => span.untilMs > watchedTo);
    const span = { fromMs: Math.max(fromMs, Math.min(watchedTo, ...before.map((one) => one.fromMs))), untilMs };
    this.#spans.set(shard, [...spans, span]);
    return span;
  }
}
