/** Who acts on a decision that all have come to: an order that everybody can compute and nobody keeps. */

/**
 * Peers in the order in which they act (rendezvous hashing): another one for each model, and with each change of it. Nothing is
 * won by being first, so that a quick hash will do: FNV-1a, mixed at the end like MurmurHash3.
 */
export function decisionOrder(model: string, epoch: number, peers: readonly string[]): string[] {
  const start = hash(`${model}\n${epoch}\n`)
  return peers
    .map((peer) => ({ peer, weight: mixed(hash(peer, start)) }))
    .sort((left, right) => left.weight - right.weight || (left.peer < right.peer ? -1 : 1))
    .map(({ peer }) => peer)
}

function hash(text: string, start = 0x811c9dc5): number {
  let value = start
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  return value >>> 0
}

function mixed(value: number): number {
  let bits = value
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
