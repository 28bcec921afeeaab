import type { DayRules } from './day-rules.ts';
import { newSpan, type Zone } from './zones.ts';

/** Changes that one search looks at: ten years of days. What is excluded for longer counts as excluded for ever. */
const MOST_CHANGES = 4_000;
/** Beyond all that rules name. */
const MAX_LOCAL_MS = 2 ** 49;

/**
 * A named set of excluded or included dates and windows, on a zone's wall clock. An instant is allowed when `include` is empty or
 * holds it, and `exclude` does not.
 */
export class Calendar {
  readonly zone: Zone;
  readonly #exclude: DayRules;
  readonly #include: DayRules;
  readonly #span = newSpan();

  constructor(zone: Zone, exclude: DayRules, include: DayRules) {
    this.zone = zone;
    this.#exclude = exclude;
    this.#include = include;
  }

  allows(instantMs: number): boolean {
    return this.#allowsLocal(instantMs + this.zone.offsetAt(Math.floor(instantMs / 1_000)) * 1_000);
  }

  /** The first allowed instant at or after `instantMs`; Infinity when there is none within some ten years. */
  nextAllowed(instantMs: number): number {
    const span = this.#span;
    let changes = 0;
    for (let at = instantMs; changes < MOST_CHANGES; at = span.end * 1_000, changes++) {
      this.zone.span(Math.floor(at / 1_000), span);
      const offset = span.offset * 1_000;
      for (let local = at + offset; local - offset < span.end * 1_000; changes++) {
        if (this.#allowsLocal(local)) return local - offset;
        local = Math.min(this.#exclude.nextChange(local), this.#include.nextChange(local));
        if (local > MAX_LOCAL_MS || changes >= MOST_CHANGES) return Infinity;
      }
    }
    return Infinity;
  }

  /** The start of the excluded stretch that holds `instantMs`, or ends with it; -Infinity when it is more than some ten years back. */
  excludedSince(instantMs: number): number {
    const span = this.#span;
    let at = instantMs;
    for (let changes = 0; changes < MOST_CHANGES && at > 0; changes++) {
      const before = Math.floor((at - 1) / 1_000);
      this.zone.span(before, span);
      const offset = span.offset * 1_000;
      const local = at + offset;
      if (this.#allowsLocal(local - 1)) return at;
      const change = Math.max(this.#exclude.lastChange(local), this.#include.lastChange(local));
      at = Math.max(change - offset, span.since * 1_000);
    }
    return -Infinity;
  }

  #allowsLocal(local: number): boolean {
    return (this.#include.isEmpty || this.#include.holds(local)) && !this.#exclude.holds(local);
  }
}
