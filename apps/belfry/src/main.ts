import { main } from './cli/main.ts';

const exit = await main(process.argv.slice(2));
// What a slow reader of a pipe has not taken yet would be lost with us.
for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve));
// Whatever a library may still hold open must not keep the user waiting.
process.exit(exit);
