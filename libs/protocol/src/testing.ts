export { GOLDEN } from './golden.ts';
