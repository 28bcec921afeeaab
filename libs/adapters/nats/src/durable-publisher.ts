import { ok, retry } from '@belfry/ports';
import type { Outcome } from '@belfry/ports';

import type { NatsLink } from './connection.ts';
import { HeaderBlock, HEADERS } from './header-block.ts';
import { AckedPublisher } from './publisher.ts';

const ATTEMPTS = 3;
const RECONNECT_WAIT_MS = 5_000;

export interface Published {
  /** Sequence in the stream. */
  readonly seq: number;
  /** It was there already, under the same id. */
  readonly duplicate: boolean;
}

/** Publishes to streams that anybody may publish to: ingest and the rejected. */
export class DurablePublisher {
  readonly #link: NatsLink;
  readonly #publisher: AckedPublisher;

  constructor(link: NatsLink) {
    this.#link = link;
    this.#publisher = new AckedPublisher(link);
  }

  /** `ok` when it is on disk. A repetition with the same `id` within the stream's dedupe window (2 minutes) is the same message. */
  async publish(
    subject: string,
    body: string | Uint8Array,
    id: string,
    headers: { readonly [name: string]: string } = {},
  ): Promise<Outcome<Published>> {
    let error = new Error('not connected');
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      if (!(await this.#link.whenConnected(RECONNECT_WAIT_MS))) break;
      const block = new HeaderBlock().add(HEADERS.msgId, id);
      for (const [name, value] of Object.entries(headers)) block.add(name, value);
      const ack = await this.#publisher.publish({ subject, headers: block, body });
      if (ack.kind === 'stored') return ok({ seq: ack.seq, duplicate: ack.duplicate });
      error = ack.kind === 'absent' ? new Error(`no stream takes ${subject} now`) : ack.error;
      if (ack.kind === 'denied') break;
    }
    return retry(error);
  }

  close(): void {
    this.#publisher.close();
  }
}
