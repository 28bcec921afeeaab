// Nx plugin: every room has the same targets, so a new room needs nothing but its package.json with a room tag.
// The type check is not among them: one compiler run over the whole workspace (the root's target) is faster than one
// for each room, because the rooms share their sources, not their declarations.

import path from 'node:path';

/** @type {import('nx/src/devkit-exports.js').CreateNodesV2} */
export const createNodesV2 = [
  '{apps,libs}/**/package.json',
  (files) =>
    files.map((file) => [
      file,
      { projects: { [path.posix.dirname(file)]: { targets: targetsOf(path.posix.dirname(file)) } } },
    ]),
];

/** @param {string} root */
function targetsOf(root) {
  return {
    lint: { command: `eslint ${root}` },
    test: { command: `vitest run --passWithNoTests ${root}/` },
  };
}
