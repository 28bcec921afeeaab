import type { NatsLink } from '@belfry/adapter-nats';
import { expect, it } from 'vitest';
import { natsMessenger } from './messenger.ts';

const MAX_PAYLOAD = 1_000;

type Callback = (error: Error | null, message: object) => void;

/** A connection that throws for what does not fit a message, as the client does. */
function connection() {
  const sent: string[] = [];
  let callback: Callback = () => undefined;
  const take = (body: string | Uint8Array): void => {
    if (body.length > MAX_PAYLOAD) throw new Error('max_payload size exceeded');
    sent.push(Buffer.from(body).toString());
  };
  const nc = {
    info: { max_payload: MAX_PAYLOAD },
    isClosed: () => false,
    publish: (_subject: string, body: string | Uint8Array) => take(body),
    subscribe: (_subject: string, options: { readonly callback: Callback }) => {
      callback = options.callback;
      return { unsubscribe: () => undefined };
    },
  };
  const ask = (): void => callback(null, { subject: 'a', reply: 'r', data: new Uint8Array(), respond: take });
  return { link: { nc, isConnected: true } as unknown as NatsLink, sent, ask };
}

const log = () => {
  const errors: string[] = [];
  const note = (message: string): void => void errors.push(message);
  return { errors, info: note, warn: note, error: note };
};

it('answers an asker whose answer does not fit a message, and lives', async () => {
  const { link, sent, ask } = connection();
  natsMessenger(link, log()).serve('a', () => 'x'.repeat(MAX_PAYLOAD + 1));
  ask();
  await expect.poll(() => sent).toHaveLength(1);
  expect(JSON.parse(sent[0] as string)).toMatchObject({ error: { code: 'too_large' } });
});

it('answers an asker whose request fails', async () => {
  const { link, sent, ask } = connection();
  natsMessenger(link, log()).serve('a', () => Promise.reject(new Error('no')));
  ask();
  await expect.poll(() => sent).toHaveLength(1);
  expect(JSON.parse(sent[0] as string)).toMatchObject({ error: { code: 'internal' } });
});

it('tells of a message that does not fit, and lives', () => {
  const { link, sent } = connection();
  const told = log();
  natsMessenger(link, told).tell('a', 'x'.repeat(70_000));
  expect(sent).toEqual([]);
  expect(told.errors).toEqual(['a message cannot be sent']);
});
