// A page on one pool: a query, its history as a paginated list, a mutation and a subscription. Relay's compiler reads
// the templates; nothing here is run.

import { graphql } from 'relay-runtime';

// The list pages through itself: the compiler makes a query by `node(id)` of it.
export const history = graphql`
  fragment PoolPage_history on CreditPool
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "String" })
  @refetchable(queryName: "PoolPageHistoryQuery") {
    transfers(first: $first, after: $after) @connection(key: "PoolPage_transfers") {
      edges {
        node {
          id
          version
          kind
          credits
          createdAt
        }
      }
    }
  }
`;

export const balance = graphql`
  fragment PoolPage_balance on CreditPool {
    name
    balance {
      available
      version
    }
    unallocated {
      available
    }
  }
`;

export const query = graphql`
  query PoolPageQuery($id: ID!, $first: Int) {
    pool(id: $id) {
      ...PoolPage_balance
      ...PoolPage_history @arguments(first: $first)
    }
  }
`;

// The new transfers go to the head of the list by themselves.
export const allocate = graphql`
  mutation PoolPageAllocateMutation($input: AllocateCreditsInput!, $connections: [ID!]!) {
    allocateCredits(input: $input) {
      allocation {
        balance {
          available
        }
        pool {
          ...PoolPage_balance
        }
      }
      transfers @prependNode(connections: $connections, edgeTypeName: "TransferEdge") {
        id
        version
        kind
        credits
        createdAt
      }
      userErrors {
        code
        field
        message
      }
    }
  }
`;

export const watch = graphql`
  subscription PoolPageWatchSubscription($poolId: ID!, $after: Version) {
    poolBalance(poolId: $poolId, after: $after) {
      kind
      version
      pool {
        ...PoolPage_balance
      }
    }
  }
`;
