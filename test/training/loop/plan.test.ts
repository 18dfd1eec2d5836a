/** What is said of a plan that does not fit. */
import { expect, test } from 'vitest'
import { checkPlan } from '../../../src/training/index.ts'
import { CLOUDS } from './support.ts'

test.each<[object, string, string]>([
  [
    { loss: { kind: 'binary-crossentropy' } },
    '"loss.kind": there is no kind "binary-crossentropy"',
    '"binary-cross-entropy"?',
  ],
  [{ loss: { kind: 'zzz' } }, '"loss.kind": there is no kind "zzz"', 'one of cross-entropy, binary-cross-entropy, mse'],
  [{ loss: {} }, '"loss.kind": it is missing', 'one of cross-entropy'],
  [{ optimizer: { kind: 'adamm', lr: 1 } }, '"optimizer.kind": there is no kind "adamm"', '"adam'],
  [{ model: { kind: 7 } }, '"model.kind": it is number, and should be string', 'one of linear'],
  [{ epochs: 'many' }, '"epochs": it is string, and should be number', ''],
  [{ adapter: { kind: 'lora', targets: ['q', 'v', 'q'] } }, '"adapter.targets": a name stands there twice', ''],
  [{ metrics: ['auc', 'auc'] }, '"metrics": a name stands there twice', ''],
  [{ task: 'binnary' }, '"task": it is', '"binary"?'],
])('a plan with %j is told where and what, and what may stand there', (changes, words, hint) => {
  const failure = (): unknown => {
    try {
      return checkPlan({ ...CLOUDS, ...changes }, 'plan.json')
    } catch (error) {
      return error
    }
  }
  const found = failure() as { readonly message: string; readonly hint?: string; readonly code: string }
  expect(found.code).toBe('WEFT-INF-121')
  expect(found.message).toContain(words)
  expect(found.hint ?? '').toContain(hint)
})
