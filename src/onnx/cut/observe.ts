/** A model run for what it says of its own values, in the child that also checks. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeModel } from '../ir/index.ts'
import { bindableForm } from './bindable.ts'
import type { CheckResult, CheckTask } from './check-task.ts'
import { inferShapes } from '../shapes/index.ts'
import { askedModel } from './learn.ts'
import type { Observe } from './learn.ts'
import { feedsOf } from './write-parts.ts'

const FILE = 'asked.onnx'

/** @param out a folder that is there, for a file that is gone afterwards */
export function observer(
  needs: { check(task: CheckTask, signal?: AbortSignal): Promise<CheckResult> },
  out: string,
  signal?: AbortSignal,
): Observe {
  return async (model, asked) => {
    const wanted = askedModel(model, asked)
    const bindable = bindableForm(wanted, inferShapes(wanted).types)
    const held = bindable === null ? wanted : bindable.apply(wanted)
    const path = join(out, FILE)
    const { files } = await writeModel(held, path)
    try {
      const whole = { path, inputs: feedsOf(held), outputs: asked }
      const result = await needs.check({ whole, parts: [], optimization: 'off', observed: true }, signal)
      return result.kind === 'observed' && result.values.length > 0 ? new Map(result.values) : null
    } finally {
      for (const each of files) await rm(each.path, { force: true })
    }
  }
}
