import { expect, it } from 'vitest';

import type { NatsLink } from './connection.ts';
import { JS } from './errors.ts';
import { ensureStream } from './streams.ts';

/** A broker that answers each operation of JetStream's API with this error. */
function refusing(errors: {
  readonly [operation: string]: { readonly code: number; readonly err_code: number };
}): NatsLink {
  const request = (subject: string): Promise<{ string(): string }> => {
    const [, , , operation = ''] = subject.split('.');
    const answer = JSON.stringify({ error: { ...errors[operation], description: operation } });
    return Promise.resolve({ string: () => answer });
  };
  return { isConnected: true, nc: { request } } as unknown as NatsLink;
}

it('is no wrong setting when somebody else is just making the stream: it is worth another try', async () => {
  const link = refusing({
    INFO: { code: 404, err_code: JS.streamNotFound },
    CREATE: { code: 400, err_code: JS.streamNameInUse },
  });
  const made = ensureStream(link, { name: 'X', subjects: ['x'], max_bytes: 1_000 });
  await expect(made).rejects.toMatchObject({ code: 'connect' });
});
