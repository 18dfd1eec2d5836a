/** weft adapter add|ls|rm|merge|export: adapters of language models. Files of the home, so no peer needs to run. */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { ModelManifest } from '../../models/index.ts'
import type { AdapterInfo } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command, CommandContext } from '../context.ts'
import { ensureModel } from '../ensure-model.ts'
import { UsageError } from '../errors.ts'
import { loadFunction } from '../rooms.ts'
import { printable, table } from '../text.ts'

export const command: Command = (context) => {
  const action = context.flags.required(0)
  if (action === 'ls') return list(context)
  const asked = { model: needed(context, 'model', action), what: context.flags.argument(1) ?? '' }
  if (asked.what === '') throw new UsageError(`weft adapter ${action} needs a folder or a name`, USAGE[action])
  if (action === 'add') return add(context, asked)
  if (action === 'export') return exported(context, asked)
  return action === 'rm' ? remove(context, asked) : merge(context, asked)
}

const USAGE: Readonly<Record<string, string>> = {
  add: 'usage: weft adapter add FOLDER|FILE.gguf --model MODEL [--name NAME]',
  rm: 'usage: weft adapter rm NAME --model MODEL',
  merge: 'usage: weft adapter merge FOLDER|NAME --model MODEL --name NEW [--weights FORMAT]',
  export: 'usage: weft adapter export FOLDER|NAME --model MODEL --out FILE.gguf',
}

interface Asked {
  readonly model: string
  readonly what: string
}

function needed({ flags }: CommandContext, option: string, action: string): string {
  const value = flags.text(option)
  if (value === undefined) throw new UsageError(`weft adapter ${action} needs --${option}`, USAGE[action])
  return value
}

async function add(context: CommandContext, { model, what }: Asked): Promise<void> {
  const { flags, home, out, signal } = context
  await ensureModel(context, await openFor(context, 'fallback'), model, signal)
  const name =
    flags.text('name') ??
    basename(resolve(what))
      .toLowerCase()
      .replace(/\.gguf$/, '')
  const info = (await (await loadFunction('peer', 'addAdapter'))(home, model, resolve(what), name)) as AdapterInfo
  if (out.structured) out.document({ schema: 'weft.adapter/1', ...info })
  else out.note(`${printable(name)} is here: weft run ${printable(model)} --adapter ${printable(name)}`)
}

async function list({ home, out }: CommandContext): Promise<void> {
  const adapters = (await (await loadFunction('peer', 'listAdapters'))(home)) as readonly AdapterInfo[]
  if (out.structured) out.document({ schema: 'weft.adapters/1', adapters })
  else if (adapters.length === 0) out.note('no adapters: weft adapter add FOLDER --model MODEL brings one in')
  else {
    const heads = [
      { head: 'MODEL' },
      { head: 'ADAPTER' },
      { head: 'KIND' },
      { head: 'RANK' },
      { head: 'ROWS' },
      { head: 'BESIDE' },
    ]
    out.lines(
      table(
        heads,
        adapters.map(({ model, name, kind, rank, tokens, parts }) => {
          return [model, name, kind, String(rank ?? '-'), String(tokens ?? '-'), parts.join(',') || '-']
        }),
      ),
    )
  }
}

async function remove({ home, out }: CommandContext, { model, what }: Asked): Promise<void> {
  await (
    await loadFunction('peer', 'removeAdapter')
  )(home, model, what)
  if (out.structured) out.document({ schema: 'weft.adapter-removed/1', model, name: what })
  else out.note(`${printable(what)} is gone`)
}

async function merge(context: CommandContext, { model, what }: Asked): Promise<void> {
  const { flags, home, out } = context
  const into = needed(context, 'name', 'merge')
  const weights = flags.text('weights')
  const made = (await (await loadFunction('peer', 'mergeInto'))(home, model, what, into, weights)) as ModelManifest
  if (out.structured) out.document({ schema: 'weft.model-merged/1', model: made.model, digest: made.digest })
  else out.note(`${printable(made.model)} is a model like any other: weft run ${printable(made.model)}`)
}

/** A folder in PEFT's layout is what it is already; this is llama.cpp's. */
async function exported(context: CommandContext, { model, what }: Asked): Promise<void> {
  const { home, out } = context
  const file = resolve(needed(context, 'out', 'export'))
  if (existsSync(file)) throw new UsageError(`${file} is there already`, 'name another file with --out')
  const bytes = (await (await loadFunction('peer', 'exportAdapter'))(home, model, what, file)) as number
  if (out.structured) out.document({ schema: 'weft.adapter-exported/1', model, name: what, file, bytes })
  else out.note(`${printable(file)} has it in the form of llama.cpp: weft adapter add takes it too`)
}
