import { readFileSync } from 'node:fs';

/** What is wrong with the Node that runs this; undefined when it is new enough. */
export function nodeProblem(version: string = process.versions.node): string | undefined {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { engines } = JSON.parse(manifest) as { engines: { node: string } };
  const needed = engines.node.replace(/^>=/, '');
  const [has, needs] = [version, needed].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)));
  const at = needs!.findIndex((part, index) => part !== has![index]);
  if (at < 0 || has![at]! > needs![at]!) return undefined;
  return `mikro-orm-cqrs needs Node ${needed} or later, and this is Node ${version}.`;
}
