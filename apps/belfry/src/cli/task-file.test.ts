import { Readable } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { readTaskFile } from './task-file.ts';

async function read(text: string) {
  const items = [];
  for await (const item of readTaskFile('-', Readable.from([text]))) items.push(item);
  return items;
}

describe('a file of tasks', () => {
  it.each([
    ['a line each', '\n{"a":1}\n\n{"a":2}\n', ['stdin:2', 'stdin:4']],
    ['an array', '[\n  {"a":1},\n  {"a":2}]\n', ['stdin[0]', 'stdin[1]']],
    ['an items object', '{"items": [{"a":1},{"a":2}]}', ['stdin[0]', 'stdin[1]']],
    ['an items object over several lines', '{"items": [\n{"a":1},{"a":2}\n]}', ['stdin[0]', 'stdin[1]']],
  ])('is %s', async (_name, text, places) => {
    expect(await read(text)).toEqual([
      { where: places[0], value: { a: 1 } },
      { where: places[1], value: { a: 2 } },
    ]);
  });

  it('may be one task over several lines', async () => {
    expect(await read('{\n "a":\n 1}')).toEqual([{ where: 'stdin', value: { a: 1 } }]);
  });

  it('may be empty', async () => expect(await read('\n\n')).toMatchObject([]));

  it('is told with its line when one is not JSON', async () => {
    await expect(read('{"a":1}\n{"a":}\n')).rejects.toMatchObject({ exit: 1, code: 'malformed', path: 'stdin:2' });
  });

  it('that is none at all is told of on one line', async () => {
    await expect(read('# A page\n\nof text\n')).rejects.toMatchObject({
      message: expect.stringMatching(/^not JSON: .*$/),
    });
  });

  it('is wrong usage when it is not there', async () => {
    const items = readTaskFile('/no/such/file', Readable.from([]));
    await expect(items.next()).rejects.toMatchObject({ exit: 2, message: '/no/such/file: no such file' });
  });
});
