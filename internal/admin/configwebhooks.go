package admin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// webhookSecret is the member of a webhook that refers to its secret.
const webhookSecret = "secret"

func webhookKind() configKind {
	members := append(plan.Members(webhook.Fields(), "url", "active"), plan.Member{
		Name: webhookSecret,
		Kind: plan.KindSecret,
		Help: "A reference to its secret, such as ${env:HOOK_SECRET}: whsec_ and 24 to 64 bytes in base64. " +
			"Without it, a new webhook gets a random one.",
	})
	return &describedKind[webhook.Webhook]{
		spec: plan.Section{
			Name: "webhooks", Noun: "webhook", Key: "url", KeyHelp: "The address that receives the events.",
			Members: members,
		},
		read: ScopeWebhooksRead, write: ScopeWebhooksWrite,
		fields: webhook.Fields(),
		list: func(ctx context.Context, o *Operations) ([]*webhook.Webhook, error) {
			all, err := o.store.ListWebhooks(ctx)
			return pointers(all), err
		},
		key:   func(w *webhook.Webhook) string { return w.URL },
		mark:  func(w *webhook.Webhook) string { return string(w.ID) },
		state: func(w *webhook.Webhook) string { return version(w.Version) },
		remark: func(w *webhook.Webhook) string {
			return "Its secret is not exported. Elsewhere, set it with " + webhookSecret + ": " +
				plan.Variable("webhook", w.Host(), "secret")
		},
		create: createDescribedWebhook,
		update: func(
			ctx context.Context, o *Operations, a Actor, w *webhook.Webhook, p webhook.Patch,
		) (*webhook.Webhook, error) {
			return o.UpdateWebhook(ctx, a, string(w.ID), p, w.Version)
		},
		subjects: func(*webhook.Webhook) []subject {
			return []subject{ofScopes(string(ScopeAuditRead))}
		},
		remove: func(ctx context.Context, o *Operations, a Actor, w *webhook.Webhook) error {
			return only(o.DeleteWebhook(ctx, a, string(w.ID), w.Version))
		},
		secret: webhookSecret,
		extra:  webhookSecretChange,
	}
}

// createDescribedWebhook creates a webhook with the secret of the document, or a random one.
func createDescribedWebhook(
	ctx context.Context, o *Operations, a Actor, i *plan.Item, p webhook.Patch,
) (*webhook.Webhook, *IssuedSecret, error) {
	if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
		return nil, nil, err
	}
	f, _ := field.Named(webhook.Fields(), "url")
	if err := p.Set(f, i.Key); err != nil {
		return nil, nil, err
	}
	chosen := ""
	if v := i.Value(webhookSecret); v != nil && v.Open == "" {
		chosen = v.Texts[0]
	}
	w, err := o.createWebhook(ctx, a, p, chosen)
	if err != nil || chosen != "" {
		return webhookOf(w), nil, err
	}
	return w.Webhook, &IssuedSecret{Section: "webhooks", Key: w.Webhook.URL, Secret: w.Secret}, nil
}

func webhookOf(w *CreatedWebhook) *webhook.Webhook {
	if w == nil {
		return nil
	}
	return w.Webhook
}

// webhookSecretChange plans another secret for a webhook that does not sign with the one of the
// document.
func webhookSecretChange(c *comparison, i *plan.Item, w *webhook.Webhook) (*extraChange, error) {
	v := i.Value(webhookSecret)
	if v == nil {
		return nil, nil
	}
	// Without these scopes, a comparison would say whether a guess is right.
	if v.Open != "" || !c.a.Can(ScopeWebhooksWrite) || !c.a.Can(ScopeAuditRead) {
		c.plan.Open = append(c.plan.Open, plan.Open{
			Section: "webhooks", Key: i.Shown(), Field: webhookSecret, Reference: v.Source,
		})
		return nil, nil
	}
	shown := v.Texts[0]
	has, err := c.o.parts.WebhookKeys.Has(w, shown)
	if err != nil || has {
		return nil, err
	}
	return &extraChange{
		field: plan.FieldChange{Field: webhookSecret, Hidden: true},
		state: string(c.o.parts.Keys.Hash(shown)),
		do: func(ctx context.Context, o *Operations, a Actor) error {
			if err := o.authorize(a, ScopeWebhooksWrite); err != nil {
				return err
			}
			return only(o.replaceWebhookSecret(ctx, a, string(w.ID), shown, defaultOverlap))
		},
	}, nil
}
