/** Two peers in one program divide a model between them and answer with the tokens that one of them gives alone. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createPeer } from '../../src/index.ts' // in your own program: from 'weft-mesh'
import type { Peer } from '../../src/index.ts'

const model = 'weft-tiny'
const question = { model, prompt: 'The captain looked at the sea and said that', maxTokens: 24 }
const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))

/** A mesh of its own on this machine: a private name, no look at the LAN. */
function start(name: string, bootstrap: readonly string[]): Promise<Peer> {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  return createPeer({
    home: join(folder, name),
    name,
    network: 'example-01',
    lan: 'off',
    listen,
    bootstrap,
    threads: 1,
  })
}

async function joined(peer: Peer): Promise<void> {
  while (!peer.status().peers.some((other) => other.state === 'connected')) await setTimeout(20)
}

try {
  await using alice = await start('alice', [])
  await using bob = await start('bob', alice.status().peer.addresses)
  await joined(alice)
  await alice.importModel(model)

  const alone = await alice.generate({ ...question, placement: 'local' }).answer()

  // Blocks [from, to): 0 is the embedding, 1 to 6 the layers, 7 the head. Bob never sees a token id.
  const stages = [
    { peer: alice.id, from: 0, to: 3 },
    { peer: bob.id, from: 3, to: 7 },
    { peer: alice.id, from: 7, to: 8 },
  ]
  await alice.deploy(model, { model, stages })
  const together = alice.generate(question)
  process.stdout.write(question.prompt)
  for await (const token of together) process.stdout.write(String(token))
  const answer = await together.answer()

  const names = new Map([alice, bob].map((peer) => [peer.id, peer.status().peer.name]))
  const route = answer.route.map(({ peer, from, to }) => `${names.get(peer)}[${from}:${to}]`).join(' -> ')
  process.stdout.write(`\n\nroute: ${route}\n`)
  process.stdout.write(`the tokens of one peer alone: ${answer.ids.join() === alone.ids.join() ? 'yes' : 'NO'}\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}
