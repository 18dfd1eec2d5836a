/** weft import SOURCE: a model from a file, the catalogue, a hub or a registry. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { WeightFormat } from '../../models/index.ts'
import type { ImportRequest } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { formatBytes, plural } from '../format.ts'
import { createProgress } from '../progress.ts'
import { printable } from '../text.ts'

export const command: Command = async (context) => {
  const { flags, io, out } = context
  const signal = deadlineSignal(context, 'the import')
  const access = await openFor(context, 'fallback')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const name = flags.text('name')
  const weights = flags.text('weights') as WeightFormat | undefined
  const request: ImportRequest = {
    source: absolute(flags.required(0)),
    ...(name === undefined ? {} : { name }),
    ...(weights === undefined ? {} : { weights }),
    ...(flags.flag('alone') ? { alone: true } : {}),
  }
  const info = await access.importModel(
    request,
    (line) => {
      if (out.jsonl) out.document(line)
      else progress.sink(line)
    },
    signal,
  )
  progress.end()
  if (out.structured) out.document({ ...info, schema: 'weft.model/1' })
  else
    out.line(
      `${printable(info.model)}  ${formatBytes(info.bytes)}, ${plural(info.blocks, 'block')}, licence ${printable(info.license)}`,
    )
}

/** The running peer has another working directory; whatever is a file here is named from the root. */
function absolute(source: string): string {
  const ollama = /^(ollama:[^@]*@)(.+)$/s.exec(source)
  if (ollama !== null) return `${ollama[1]}${resolve(ollama[2]!)}`
  return existsSync(source) ? resolve(source) : source
}
