import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { isAtLeast, natsBinary } from './nats-binary.ts';
import { temporaryFolder } from './test-fixtures.ts';

function program(file: string, version: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  chmodSync(file, 0o755);
  return file;
}

describe('the search for a nats-server', () => {
  it('takes the one on PATH when it is new enough', async () => {
    using folder = temporaryFolder();
    const file = program(path.join(folder.path, 'bin', 'nats-server'), '2.14.4');
    const found = await natsBinary(() => undefined, { PATH: path.dirname(file), BELFRY_CACHE: folder.path });
    expect(found).toEqual({ path: file, version: '2.14.4' });
  });

  it('says that the one on PATH is too old, and takes the one in the cache', async () => {
    using folder = temporaryFolder();
    const old = program(path.join(folder.path, 'bin', 'nats-server'), '2.10.27');
    const cached = program(
      path.join(folder.path, 'cache', `nats-server-${process.platform}-${process.arch}`),
      '2.15.1',
    );
    const lines: string[] = [];
    const found = await natsBinary((line) => lines.push(line), {
      PATH: path.dirname(old),
      BELFRY_CACHE: path.dirname(cached),
    });
    expect(found.path).toBe(cached);
    expect(lines).toEqual([expect.stringMatching(/bin\/nats-server is 2\.10\.27.*2\.14\.4/)]);
  });

  it('refuses the one that was named when it is too old, or is none', async () => {
    using folder = temporaryFolder();
    const old = program(path.join(folder.path, 'nats-server'), '2.14.3');
    await expect(natsBinary(() => undefined, { BELFRY_NATS_SERVER: old })).rejects.toMatchObject({
      code: 'nats_too_old',
    });
    await expect(natsBinary(() => undefined, { BELFRY_NATS_SERVER: '/no/such/file' })).rejects.toMatchObject({
      code: 'nats_missing',
    });
  });

  it.each([
    ['2.14.4', true],
    ['2.14.10', true],
    ['2.15.0', true],
    ['3.0.0', true],
    ['2.14.3', false],
    ['2.9.99', false],
    ['1.99.99', false],
  ])('knows whether %s is 2.14.4 or newer', (version, expected) => {
    expect(isAtLeast(version, '2.14.4')).toBe(expected);
  });
});
