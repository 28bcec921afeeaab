import { main } from './cli/main.ts';

// Whatever a library may still hold open must not keep the user waiting.
process.exit(await main(process.argv.slice(2)));
