import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { createPeer, splitModel } from '../../src/peer/index.ts'
import type { Progress } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import { openChain, pastOf } from '../models/support/split-chain.ts'
import type { Chain, Values } from '../models/support/split-chain.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-peer-split-'))
let home: string
let out: string
let count = 0

beforeEach(() => {
  home = join(base, `home-${count}`)
  out = join(base, `out-${count++}`)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

async function greedy(chain: Chain, prompt: readonly number[], tokens: number): Promise<number[]> {
  const made: number[] = []
  let past: Values = {}
  for (let ids = prompt; made.length < tokens; ids = made.slice(-1)) {
    const values = await chain.run(ids, past)
    past = pastOf(values)
    const { data, dims } = values['logits']!
    const last = (data as Float32Array).subarray(-dims[1]!)
    made.push(last.indexOf(Math.max(...last)))
  }
  return made
}

describe('splitModel', () => {
  it('brings a model of the catalogue into an empty home, and its files give the tokens that a peer gives', async () => {
    const steps: Progress[] = []
    const manifest = await splitModel({ home, model: 'weft-tiny', parts: 3, out, check: true }, (step) =>
      steps.push(step),
    )
    expect(manifest).toMatchObject({ schema: 'weft.split/1', model: 'weft-tiny', check: { equal: true } })
    expect(JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))).toEqual(manifest)
    const tasks = new Set(steps.map(({ task }) => task.split(' ')[0]))
    expect([...tasks]).toEqual(['importing', 'checking', 'splitting'])
    for (const task of ['splitting', 'checking']) {
      const last = steps.findLast((step) => step.task === `${task} weft-tiny`)!
      expect(last.done).toBe(last.total)
    }

    await using peer = await createPeer({ home, offline: true })
    const { ids: prompt } = await peer.tokenize('weft-tiny', { kind: 'text', text: 'The sea was' })
    const generated: number[] = []
    for await (const event of peer.generate({
      model: 'weft-tiny',
      input: { kind: 'ids', ids: prompt },
      maxTokens: 24,
      sampling: GREEDY,
    })) {
      if (event.type === 'token') generated.push(event.id)
    }
    const chain = await openChain(out)
    expect(await greedy(chain, prompt, generated.length)).toEqual(generated)
    expect(generated.length).toBeGreaterThan(10)
    await chain.release()

    // Beside the running peer, by digest, and over the same folder.
    const again = await splitModel({ home, model: manifest.digest, cuts: [4], out })
    expect(again.partitions.map(({ blocks }) => blocks)).toEqual([
      [0, 4],
      [4, 8],
    ])
    expect(readdirSync(out).toSorted()).toEqual(['manifest.json', 'partition-0.onnx', 'partition-1.onnx'])
    expect(peer.ready()).toMatchObject({ ready: true })
  })

  it('makes no home for a model that nobody knows', async () => {
    await expect(splitModel({ home, model: 'nobody:7b', out })).rejects.toMatchObject({
      code: 'WEFT-MOD-050',
      info: { exit: 4 },
    })
    expect([existsSync(home), existsSync(out)]).toEqual([false, false])
  })

  it('ends when it is told to before anything is fetched', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(splitModel({ home, model: 'weft-tiny', out }, undefined, signal)).rejects.toThrow('enough')
    expect([existsSync(home), existsSync(out)]).toEqual([false, false])
  })
})
