import { subjects } from '@belfry/protocol';
import { ok, refused, retry } from '@belfry/ports';
import type { HeldFence, Outcome, SeenFence } from '@belfry/ports';
import { nuid } from '@nats-io/transport-node';

import { bodyText, jsApi, lastMessage } from './api.ts';
import type { NatsLink } from './connection.ts';
import { JS, JetStreamError } from './errors.ts';
import { HeaderBlock, HEADERS } from './header-block.ts';
import type { NatsNames } from './names.ts';
import type { AckedPublisher } from './publisher.ts';

const ATTEMPTS = 4;

export type ReadFence =
  | ({ readonly kind: 'held'; readonly seq: number } & FenceBody)
  /** Nobody has taken it in this incarnation of the stream, or the stream is gone. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown'; readonly error: Error };

interface FenceBody extends HeldFence {
  /** Tells the takers of one epoch apart. */
  readonly by: string;
}

/**
 * The shards' fence messages: `{"epoch", "by", "seen"}`, the last one on a shard's fence subject being in force.
 *
 * F1. A fence is replaced only by compare-and-set against the one that was read, and only by a higher epoch.
 * F2. Former fences are deleted after the new one is in force, never before.
 * F3. What cannot be read was written by no owner: it counts as epoch 0, so that the next takeover replaces it.
 */
export class Fences {
  readonly #link: NatsLink;
  readonly #publisher: AckedPublisher;
  readonly #names: NatsNames;
  /** Our own signature: by it we know our fence again when its acknowledgement was lost. */
  readonly #by = nuid.next();

  constructor(link: NatsLink, publisher: AckedPublisher, names: NatsNames) {
    this.#link = link;
    this.#publisher = publisher;
    this.#names = names;
  }

  async read(shard: number): Promise<ReadFence> {
    const got = await lastMessage(this.#link, this.#names.streams.work, this.#subject(shard));
    if (got.kind === 'ok') {
      return { kind: 'held', seq: got.value.seq, ...readFence(bodyText(got.value)) };
    }
    const code = got.error instanceof JetStreamError ? got.error.errCode : 0;
    if (code === JS.noMessage || code === JS.streamNotFound) return { kind: 'none' };
    return { kind: 'unknown', error: got.error };
  }

  /**
   * The sequence of the shard's fence, once it is ours. `present` is what was read of it. Refused `lost` where the one that was `seen` is
   * gone.
   */
  async take(
    shard: number,
    epoch: number,
    seen: SeenFence | undefined,
    present: ReadFence,
  ): Promise<Outcome<number, 'fenced' | 'lost'>> {
    let error = new Error('the fence changes too fast');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const held = attempt === 0 ? present : await this.read(shard);
      if (held.kind === 'unknown') return retry(held.error);
      if (held.kind === 'held' && held.epoch >= epoch) {
        return held.epoch === epoch && held.by === this.#by ? ok(held.seq) : refused('fenced'); // F1
      }
      if ((held.kind === 'held' ? held.epoch : 0) < (seen?.epoch ?? 0)) return refused('lost');
      const headers = new HeaderBlock().add(HEADERS.expectedSubjectSequence, held.kind === 'held' ? held.seq : 0); // F1
      const body = JSON.stringify({ epoch, by: this.#by, seen: seen?.incarnation });
      const ack = await this.#publisher.publish({ subject: this.#subject(shard), headers, body });
      if (ack.kind === 'stored') {
        void this.#deleteFormer(shard); // the shard stands still: it is not waited for
        return ok(ack.seq);
      }
      if (ack.kind === 'absent') return retry(new Error('the work stream is gone'));
      error = ack.error;
      if (ack.kind === 'unknown' && !ack.sent) break;
      const changed = ack.kind === 'unknown' || isSequenceConflict(ack.error);
      if (!changed) break;
    }
    return retry(error);
  }

  /** F2. If it fails, the next takeover does it. */
  async #deleteFormer(shard: number): Promise<void> {
    await jsApi(this.#link, `STREAM.PURGE.${this.#names.streams.work}`, { filter: this.#subject(shard), keep: 1 });
  }

  #subject(shard: number): string {
    return this.#names.subject(subjects.fence(shard));
  }
}

function readFence(text: string): FenceBody {
  try {
    const { epoch, by, seen } = JSON.parse(text) as { epoch?: unknown; by?: unknown; seen?: unknown };
    if (typeof epoch === 'number' && typeof by === 'string')
      return typeof seen === 'number' ? { epoch, by, seen } : { epoch, by };
  } catch {
    // F3
  }
  return { epoch: 0, by: '' };
}

function isSequenceConflict(error: JetStreamError): boolean {
  return error.errCode === JS.wrongLastSequence || error.errCode === JS.wrongLastSequenceInFlight;
}
