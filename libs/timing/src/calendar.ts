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
    return this.#denying(instantMs + this.zone.offsetAt(Math.floor(instantMs / 1_000)) * 1_000) === undefined;
  }

  /** The first allowed instant at or after `instantMs`; Infinity when there is none within some ten years. */
  nextAllowed(instantMs: number): number {
    const span = this.#span;
    let changes = 0;
    for (let at = instantMs; changes < MOST_CHANGES; at = span.end * 1_000, changes++) {
      this.zone.span(Math.floor(at / 1_000), span);
      const offset = span.offset * 1_000;
      for (let local = at + offset; local - offset < span.end * 1_000; changes++) {
        const denying = this.#denying(local);
        if (denying === undefined) return local - offset;
        local = denying.nextChange(local);
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
      const denying = this.#denying(local - 1);
      if (denying === undefined) return at;
      at = Math.max(denying.lastChange(local) - offset, span.since * 1_000);
    }
    return -Infinity;
  }

  /** The rules that say no. Until they change it stays so, whatever the other ones say. */
  #denying(local: number): DayRules | undefined {
    if (this.#exclude.holds(local)) return this.#exclude;
    return this.#include.isEmpty || this.#include.holds(local) ? undefined : this.#include;
  }
}
