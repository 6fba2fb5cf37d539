import type { SqlTokens } from './sql-tokens.js';

/** What a statement does to its transaction, its savepoints or its session. */
export type SqlControl =
  | { readonly kind: 'begin' | 'prepare transaction' | 'commit prepared' | 'rollback prepared' }
  /** `chain`: AND CHAIN, the next transaction begins at once. */
  | { readonly kind: 'commit' | 'rollback'; readonly chain: boolean }
  /** `savepoint`: its name as PostgreSQL stores it. */
  | { readonly kind: 'savepoint' | 'release' | 'rollback to'; readonly savepoint: string }
  /** `name`: of the setting in lower case, `timezone` for TIME ZONE; `value`: as it is written, to the statement's end. */
  | { readonly kind: 'set'; readonly local: boolean; readonly name: string; readonly value: string }
  /** `name`: of the setting in lower case; `all` for every one. */
  | { readonly kind: 'reset'; readonly name: string };

/** Reads a statement from its first token on; undefined when it is none of these. `words`: its first words. */
export function readControl(tokens: SqlTokens, [first, second]: readonly string[]): SqlControl | undefined {
  switch (first) {
    case 'begin':
      return { kind: 'begin' };
    case 'start':
      return second === 'transaction' ? { kind: 'begin' } : undefined;
    case 'commit':
    case 'end':
      return second === 'prepared' ? { kind: 'commit prepared' } : { kind: 'commit', chain: chains(tokens) };
    case 'rollback':
    case 'abort':
      if (second === 'prepared') return { kind: 'rollback prepared' };
      return rollsBack(tokens);
    case 'savepoint':
      return named('savepoint', tokens);
    case 'release':
      return named('release', tokens);
    case 'prepare':
      return second === 'transaction' ? { kind: 'prepare transaction' } : undefined;
    case 'set':
      return sets(tokens);
    case 'reset':
      tokens.next();
      return { kind: 'reset', name: takeSetting(tokens) };
    case 'discard':
      return second === 'all' ? { kind: 'reset', name: 'all' } : undefined;
    default:
      return undefined;
  }
}

// COMMIT [WORK | TRANSACTION] [AND [NO] CHAIN]
function chains(tokens: SqlTokens): boolean {
  const words: string[] = [];
  for (; tokens.kind === 'word' && words.length < 5; tokens.next()) words.push(tokens.word);
  return words.includes('chain') && !words.includes('no');
}

function rollsBack(tokens: SqlTokens): SqlControl {
  tokens.next();
  if (!tokens.take('work')) tokens.take('transaction');
  if (tokens.word !== 'to') return { kind: 'rollback', chain: chains(tokens) };
  return named('rollback to', tokens);
}

// The word that says what to do, SAVEPOINT if it stands there, and the name.
function named(kind: 'savepoint' | 'release' | 'rollback to', tokens: SqlTokens): SqlControl {
  tokens.next();
  // SAVEPOINT is no reserved word, and may be a name itself.
  const name = tokens.takeName() ?? '';
  const savepoint = kind !== 'savepoint' && name === 'savepoint' ? (tokens.takeName() ?? name) : name;
  return { kind, savepoint };
}

// SET [SESSION | LOCAL] name { TO | = } value, SET TIME ZONE value; SET TRANSACTION and the like have their word as name
function sets(tokens: SqlTokens): SqlControl {
  tokens.next();
  const local = tokens.take('local');
  if (!local) tokens.take('session');
  const name = takeSetting(tokens);
  if (!tokens.take('to')) tokens.take('=');
  const value: string[] = [];
  for (; tokens.kind !== 'end' && tokens.word !== ';'; tokens.next()) value.push(tokens.written);
  return { kind: 'set', local, name, value: value.join(' ') };
}

function takeSetting(tokens: SqlTokens): string {
  if (tokens.take('time')) {
    tokens.take('zone');
    return 'timezone';
  }
  const parts: string[] = [];
  for (let part = tokens.takeName(); part !== undefined; part = tokens.takeName()) {
    parts.push(part.toLowerCase());
    if (!tokens.take('.')) break;
  }
  return parts.join('.');
}
