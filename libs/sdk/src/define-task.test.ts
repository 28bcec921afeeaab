import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';

import { defineTask } from './define-task.ts';
import { validatePayload } from './schema.ts';

const mail = defineTask({
  name: 'mail',
  queue: 'mails',
  schema: z.object({ to: z.email(), copies: z.number().default(1) }),
  retry: { attempts: 5 },
  priority: 'high',
});

describe('a definition', () => {
  it('makes specs with its defaults, which a use may override', () => {
    expect(mail.spec({ every: '1h', payload: { to: 'a@b.example' }, priority: 'low', key: 'k' })).toEqual({
      queue: 'mails',
      handler: 'mail',
      retry: { attempts: 5 },
      priority: 'low',
      every: '1h',
      key: 'k',
      payload: { to: 'a@b.example' },
    });
  });

  it('types what callers send and what handlers get', () => {
    mail.handler(({ payload }) => expectTypeOf(payload).toEqualTypeOf<{ to: string; copies: number }>());
    // @ts-expect-error -- the payload is required
    mail.spec({ every: '1h' });
    // @ts-expect-error -- of another type
    mail.spec({ every: '1h', payload: { to: 1 } });
    const ping = defineTask<{ n: number } | undefined>({ name: 'ping', queue: 'q' });
    expect(ping.spec({ every: '1h' })).toEqual({ queue: 'q', handler: 'ping', every: '1h' });
  });

  it.each([
    [{ name: 'a.b', queue: 'q' }, 'name'],
    [{ name: 'a', queue: 'q *' }, 'queue'],
  ])('%j is refused', (options, path) => {
    expect(() => defineTask(options)).toThrow(expect.objectContaining({ code: 'invalid_name', path }));
  });
});

describe('a payload', () => {
  const nested = z.object({ items: z.array(z.object({ n: z.number() })) });

  it('is what the schema makes of it', async () => {
    expect(await validatePayload(mail.schema!, { to: 'a@b.example' })).toEqual({
      value: { to: 'a@b.example', copies: 1 },
    });
  });

  it('that is refused names the field and counts the other faults', async () => {
    const checked = await validatePayload(nested, { items: [{ n: 1 }, { n: 'x' }, {}] });
    expect(checked).toMatchObject({ error: { code: 'invalid_field', path: 'payload.items[1].n' } });
    expect('error' in checked && checked.error.message).toMatch(/\(and 1 more\)$/);
  });

  it('may be checked by a schema that takes its time', async () => {
    const slow = z.string().refine(async (text) => text !== 'bad', 'is bad');
    expect(await validatePayload(slow, 'good')).toEqual({ value: 'good' });
    expect(await validatePayload(slow, 'bad')).toMatchObject({ error: { path: 'payload' } });
  });
});
