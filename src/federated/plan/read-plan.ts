/** Reads and checks plans and data files. */
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { checkPlan } from '../../training/index.ts'
import { parseJsonText } from '../../util/index.ts'
import { checkStrategyFields, shared } from './strategy.ts'
import { checkBalance } from './balance.ts'
import { rangesOf } from './bounded-statistics.ts'
import { checkGossip } from './gossip.ts'
import { FedFileError, FedPlanError } from './errors.ts'
import { checkInput, nobodysData } from './input.ts'
import { checkIdentifiers } from './identifiers.ts'
import { issueOf } from './issue.ts'
import { checkLanguage, isLanguage } from './language.ts'
import { checkModelFile } from './model-file.ts'
import { checkBits, checkNeighbours } from './sharing.ts'
import { FED_DATA_FIELDS, fedDataSchema, fedPlanSchema } from './schema.ts'
import { checkBuffer } from './buffer.ts'
import { checkClusters } from './clusters.ts'
import { checkCompression } from './compression.ts'
import { checkRobust } from './robust.ts'
import type { FedData, FedPlan } from './schema.ts'
import { dataSpecOf, trainPlanOf } from './train-plan.ts'

const MAX_BYTES = 4 * 2 ** 20

/** @throws FedPlanError */
export async function readFedPlan(path: string): Promise<FedPlan> {
  return checkFedPlan(await readJson(path), path)
}

export interface SiteData {
  readonly data: FedData
  /** From which its paths count. */
  readonly folder: string
  readonly path: string
}

/** @throws FedPlanError */
export async function readFedData(path: string): Promise<SiteData> {
  const value = await readJson(path)
  const result = fedDataSchema.safeParse(value)
  if (!result.success) throw issueOf(path, result.error.issues[0]!, FED_DATA_FIELDS)
  return { data: result.data, folder: dirname(resolve(path)), path: resolve(path) }
}

/** @param where for messages. @throws FedPlanError, and what checking the plan of training throws */
export function checkFedPlan(value: unknown, where: string): FedPlan {
  const result = fedPlanSchema.safeParse(value)
  if (!result.success) throw issueOf(where, result.error.issues[0]!, Object.keys(fedPlanSchema.shape))
  const plan = result.data
  if (isLanguage(plan)) checkLanguage(plan, where)
  else checkInput(plan, where)
  checkModelFile(plan, where)
  // A plan is checked before any site has said where its data lies.
  const data = dataSpecOf(plan, isLanguage(plan) ? { kind: 'text', path: 'data' } : nobodysData(plan))
  checkPlan(JSON.parse(JSON.stringify(trainPlanOf(plan, data, 'model.onnx'))), where)
  checkTogether(plan, where)
  return plan
}

function checkTogether(plan: FedPlan, where: string): void {
  const wrong = (field: string, why: string): FedPlanError => new FedPlanError(where, field, why)
  rangesOf(plan)
  checkRows(plan, where)
  const { local, strategy, privacy = 'off', secagg = 'off' } = plan
  if (local.steps !== undefined && local.epochs !== undefined) throw wrong('local', 'has both steps and epochs')
  const isPlain = (local.optimizer ?? 'sgd') === 'sgd' && local.momentum === undefined
  const isCorrected = (local.proximal ?? 0) > 0 || strategy.name === 'scaffold' || plan.ditto !== undefined
  if (isCorrected && !isPlain) {
    throw wrong('local.optimizer', 'has to be sgd without momentum where a term is added to the gradient')
  }
  checkStrategyFields(plan, where)
  const sight = shared(plan, where)
  if (sight === 'each' && secagg !== 'off') {
    throw wrong(
      'strategy.name',
      `"${strategy.name}" must see each single update, and "secagg" hides them: choose "secagg":"off", or "bucketed"`,
    )
  }
  checkBalance(plan, where)
  checkRobust(plan, where)
  checkClusters(plan, where)
  checkCompression(plan, where)
  checkBuffer(plan, where)
  checkGossip(plan, where)
  checkNeighbours(plan, where)
  checkBits(plan, where)
  if (plan.transcripts !== undefined && secagg === 'off') {
    throw wrong('transcripts', 'needs "secagg": without it every update is seen, and nothing is signed')
  }
  if (privacy === 'off') return
  if (sight !== 'sum')
    throw wrong('privacy', `does not go with the strategy "${strategy.name}": it sees more than a sum`)
  if (['scaffold', 'fednova', 'qfedavg'].includes(strategy.name)) {
    throw wrong('strategy.name', `"${strategy.name}" sends more than an update, and that is not accounted for`)
  }
  if (secagg === 'off') {
    throw wrong('privacy', 'needs "secagg": noise is added in shares, which hide nothing one by one')
  }
  if (privacy.unit === 'record' && plan.task === 'survival') {
    throw wrong('privacy.unit', 'a loss over pairs of records has no gradient of one record')
  }
  if (privacy.unit === 'site' && (privacy.sample_rate ?? 1) !== 1) {
    throw wrong('privacy.sample_rate', 'is 1 for sites: a secure sum tells who took part')
  }
  if (privacy.adaptive !== undefined && privacy.unit !== 'site') {
    throw wrong('privacy.adaptive', 'is for the unit "site"')
  }
}

interface Rows {
  readonly split?: { readonly every?: number; readonly test?: number }
  readonly target?: { readonly column?: string }
  readonly features?: readonly { readonly column?: string }[]
}

/** What `checkPlan` lets pass, since a run on one machine shows it at once. @throws FedPlanError */
function checkRows(plan: FedPlan, where: string): void {
  const { split, target, features = [] } = plan as Rows
  checkIdentifiers([target?.column, ...features.map(({ column }) => column)], 'features', where)
  if (split?.every !== undefined && split.test !== undefined && split.test >= split.every)
    throw new FedPlanError(
      where,
      'split.test',
      `is never the rest of a division by ${split.every}: no row would be for testing`,
    )
  if (target?.column !== undefined && features.some(({ column }) => column === target.column))
    throw new FedPlanError(where, 'features', `have ${JSON.stringify(target.column)}, which is the target`)
}

/** @throws FedFileError, FedPlanError: no JSON, or a member twice, of which other readers may take the other one */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path)
  try {
    return parseJsonText(text)
  } catch (error) {
    throw new FedPlanError(path, '', `is no JSON: ${(error as Error).message.slice(0, 200)}`, error)
  }
}

async function readText(path: string): Promise<string> {
  try {
    const facts = await stat(path)
    if (!facts.isFile()) throw new Error('it is no file')
    if (facts.size > MAX_BYTES) throw new Error(`it has ${facts.size} bytes, and ${MAX_BYTES} are the most`)
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new FedFileError(path, error as Error)
  }
}
