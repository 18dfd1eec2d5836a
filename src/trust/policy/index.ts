/** The policy of a site. */
export { compilePolicy } from './compile.ts'
export type { Policy } from './compile.ts'
export { decide } from './decide.ts'
export type { Certainty } from './decide.ts'
export {
  POLICY_ERRORS,
  PolicyAccessError,
  PolicyFileError,
  PolicyMissingError,
  PolicyRefusedError,
  PolicyRequestError,
  refusalIn,
  refusedElsewhere,
} from './errors.ts'
export type { PolicyProblem, RefusingSite } from './errors.ts'
export { explainPeer, explainPolicy, STAGE_HOLDER_LEARNS } from './explain.ts'
export type { PolicyExplanation } from './explain.ts'
export { POLICY_FILE, policyStamp, readPolicyFile, writePolicyFile } from './file.ts'
export { createPlanGate } from './gate.ts'
export type { PlanGate, PlanQuestion } from './gate.ts'
export { readPolicy } from './read.ts'
export { readPolicyRequest } from './request.ts'
export { policySchema } from './schema.ts'
export type { PolicyDocument } from './schema.ts'
export { openSitePolicy } from './site.ts'
export type { SitePolicy, SitePolicyInit, SitePolicyNeeds } from './site.ts'
export { POLICY_ACTIONS } from './types.ts'
export type { Decision, PolicyAction, PolicyRequest } from './types.ts'
