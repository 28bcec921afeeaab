import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { installedDifference, SetupError } from './ensure.mjs';

const WANTED = {
  '': { name: 'root' },
  'libs/a': { version: '0.1.0' },
  'node_modules/a': { resolved: 'libs/a', link: true },
  'node_modules/pg': { version: '8.0.0' },
  'node_modules/for-another-platform': { version: '1.0.0', optional: true },
};
const { '': _root, 'node_modules/for-another-platform': _other, ...INSTALLED } = WANTED;

describe('whether dependencies must be installed', () => {
  /** @type {string} */
  let root;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'belfry-setup-'));
    for (const folder of ['node_modules/a', 'node_modules/pg']) mkdirSync(path.join(root, folder), { recursive: true });
    record('package-lock.json', WANTED);
    record('node_modules/.package-lock.json', INSTALLED);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  /** @param {string} file @param {object} packages */
  function record(file, packages) {
    writeFileSync(path.join(root, file), JSON.stringify({ packages }));
  }

  it('not when all is there, packages for other platforms apart', () => {
    expect(installedDifference(root)).toBeUndefined();
  });

  it('when nothing is, or npm did not get to its end', () => {
    rmSync(path.join(root, 'node_modules', '.package-lock.json'));
    expect(installedDifference(root)).toContain('none yet');
  });

  it.each([
    ['a package is new in the lock file', { 'node_modules/new': { version: '1.0.0' } }, 'node_modules/new is missing'],
    ['a version has changed', { 'node_modules/pg': { version: '8.0.1' } }, 'node_modules/pg has changed'],
    ['a workspace has moved', { 'node_modules/a': { resolved: 'apps/a', link: true } }, 'node_modules/a has changed'],
  ])('when %s', (_title, change, reason) => {
    record('package-lock.json', { ...WANTED, ...change });
    expect(installedDifference(root)).toBe(reason);
  });

  it('when a folder was removed by hand', () => {
    rmSync(path.join(root, 'node_modules', 'pg'), { recursive: true });
    expect(installedDifference(root)).toBe('node_modules/pg is gone');
  });

  it('cannot be said without a lock file', () => {
    rmSync(path.join(root, 'package-lock.json'));
    expect(() => installedDifference(root)).toThrow(SetupError);
  });
});
