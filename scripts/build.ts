import { build } from './support/build.ts';

const { problems } = await build();
if (problems) {
  console.error(problems.trim());
  process.exitCode = 1;
} else {
  console.log('built dist');
}
