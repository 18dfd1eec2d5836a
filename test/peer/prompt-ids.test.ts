/** Long prompts are read by turns: others get theirs between, and whoever gives up ends it. */
import { expect, it } from 'vitest'
import { createTokenizer } from '../../src/models/index.ts'
import { promptOf } from '../../src/peer/prompt-ids.ts'
import { ownDefinition } from '../models/support/tokenizers.ts'

const tokenizer = createTokenizer(ownDefinition())
const text = 'the hello, abab 12345 '.repeat(10_000)

function turns(): { clock: { sleep: (ms: number, signal?: AbortSignal) => Promise<void> }; taken: () => number } {
  let taken = 0
  return {
    clock: {
      sleep: async (_ms, signal) => {
        taken++
        signal?.throwIfAborted()
      },
    },
    taken: () => taken,
  }
}

it('takes turns in a long text and a long conversation, none in a short one, with the ids of one go', async () => {
  const { clock, taken } = turns()
  expect(await promptOf(tokenizer, { input: { kind: 'text', text: 'hello' } }, { clock })).toEqual(
    tokenizer.encode('hello'),
  )
  expect(await promptOf(tokenizer, { input: { kind: 'ids', ids: [1, 2] } }, { clock })).toEqual([1, 2])
  expect(taken()).toBe(0)
  expect(await promptOf(tokenizer, { input: { kind: 'text', text } }, { clock })).toEqual(tokenizer.encode(text))
  expect(taken()).toBeGreaterThan(5)
  const before = taken()
  const messages = [{ role: 'user', content: text }]
  const ids = await promptOf(tokenizer, { input: { kind: 'chat', messages } }, { clock })
  expect(ids).toEqual(tokenizer.encodeChat(messages).ids)
  expect(taken()).toBeGreaterThan(before + 5)
})

it('ends with its signal, and reads no more than is counted', async () => {
  const { clock, taken } = turns()
  const controller = new AbortController()
  controller.abort(new Error('gone'))
  const input = { kind: 'text', text } as const
  await expect(promptOf(tokenizer, { input }, { clock, signal: controller.signal })).rejects.toThrow('gone')
  expect(taken()).toBe(1)
  expect((await promptOf(tokenizer, { input }, { clock, most: 100 })).length).toBeLessThan(200)
  expect(taken()).toBe(1)
})
