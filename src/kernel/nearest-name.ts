/** ` Did you mean 'x'?` for a name that is close to a known one; otherwise nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
  let nearest: string | undefined;
  let best = Math.min(4, Math.ceil(name.length / 3) + 1);
  for (const candidate of known) {
    const distance = distanceOf(plain(name), plain(candidate));
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest === undefined ? '' : ` Did you mean '${nearest}'?`;
}

// `message_ttl` and `MessageTTL` mean `messageTtl`.
function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}

// A name without its unit is near, however long the unit.
function distanceOf(name: string, candidate: string): number {
  return name.length >= 3 && candidate.startsWith(name) ? 1 : editDistance(name, candidate);
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [at, character] of from.split('').entries()) {
    const next = [at + 1];
    for (let index = 0; index < to.length; index++) {
      next.push(Math.min(next[index]! + 1, row[index + 1]! + 1, row[index]! + (character === to[index] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length]!;
}
