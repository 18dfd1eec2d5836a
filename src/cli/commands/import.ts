/** weft import SOURCE: a model from a file, the catalogue, a hub or a registry. */
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { WeightFormat } from '../../models/index.ts'
import type { ImportRequest } from '../../peer/index.ts'
import { openFor } from '../context.ts'
import type { Command } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { BadValueError, FileUnreadableError } from '../errors.ts'
import { formatBytes, plural } from '../format.ts'
import { createProgress } from '../progress.ts'
import { reportLines, warningLine } from '../quality-view.ts'
import { printable } from '../text.ts'

/** Bytes: the peer takes 200,000 characters. */
const CALIBRATION_MAX = 800_000

export const command: Command = async (context) => {
  const { flags, io, out } = context
  const signal = deadlineSignal(context, 'the import')
  const access = await openFor(context, 'fallback')
  const progress = createProgress(io, out)
  context.defer(() => progress.end())
  const name = flags.text('name')
  const weights = flags.text('weights') as WeightFormat | undefined
  const measure = flags.text('measure') as ImportRequest['measure']
  const calibrate = flags.text('calibrate')
  const request: ImportRequest = {
    source: absolute(flags.required(0)),
    ...(name === undefined ? {} : { name }),
    ...(weights === undefined ? {} : { weights }),
    ...(flags.flag('alone') ? { alone: true } : {}),
    ...(measure === undefined ? {} : { measure }),
    ...(calibrate === undefined ? {} : { calibration: await readCalibration(calibrate) }),
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
  if (info.quality !== undefined) {
    if (!out.structured) for (const line of reportLines(info.quality)) out.note(line)
    const warning = warningLine(info.quality)
    if (warning !== undefined) out.note(`${out.paintNote('yellow', 'warning:')} ${warning}`)
  }
  if (out.structured) out.document({ ...info, schema: 'weft.model/1' })
  else
    out.line(
      `${printable(info.model)}  ${formatBytes(info.bytes)}, ${plural(info.blocks, 'block')}, licence ${printable(info.license)}`,
    )
}

/** @throws FileUnreadableError, BadValueError */
async function readCalibration(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > CALIBRATION_MAX) throw new BadValueError('calibrate', path, `a text of at most ${CALIBRATION_MAX} bytes`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw error instanceof BadValueError ? error : new FileUnreadableError(path, error)
  }
}

/** The running peer has another working directory; whatever is a file here is named from the root. */
function absolute(source: string): string {
  const ollama = /^(ollama:[^@]*@)(.+)$/s.exec(source)
  if (ollama !== null) return `${ollama[1]}${resolve(ollama[2]!)}`
  return existsSync(source) ? resolve(source) : source
}
