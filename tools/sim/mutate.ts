// Preloaded (--import): makes the mutation of BELFRY_MUTATION in the source as it is loaded.

import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Mutation } from './mutation-list.ts';

const given = process.env['BELFRY_MUTATION'] ?? '';
if (given !== '') {
  const { name, file, find, replace } = JSON.parse(given) as Mutation;
  const url = pathToFileURL(file).href;
  registerHooks({
    load(wanted, context, nextLoad) {
      const loaded = nextLoad(wanted, context);
      if (wanted !== url) return loaded;
      const text = Buffer.from(loaded.source as Uint8Array).toString();
      if (text.split(find).length !== 2) throw new Error(`mutation "${name}" does not match`);
      return { ...loaded, source: text.replace(find, () => replace) };
    },
  });
}
