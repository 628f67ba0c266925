-- The color of an app on its sign-in and consent pages.

ALTER TABLE clients ADD COLUMN brand_color TEXT NOT NULL DEFAULT '';
